"""Spans of time as people write them: "90s", "15m", "2h", "1d". Pure."""

from __future__ import annotations

import re
from functools import cache

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
LONGEST_S = 366 * 86_400


@cache
def seconds(text: str) -> int:
    """The seconds of "90s", "15m", "2h" or "1d", a year at most. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError('write a whole number and a unit: "90s", "15m", "2h", "1d"')
    length = int(found[1]) * _SECONDS[found[2]]
    if not 0 < length <= LONGEST_S:
        raise ValueError('must be above "0s" and at most "366d"')
    return length
