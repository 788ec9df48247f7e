"""The built-in feed, moved in time: its day ends now, and its alerts are as fresh as live ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from stream.files.lines import read_lines

FEED = Path(str(files("stream.demo") / "feed.jsonl"))
ENDS = datetime(2026, 3, 12, 19, tzinfo=UTC)
"""When the feed's day is over, as it is written."""
_TIME = re.compile(rb'(?<="time":")2026-03-12T[\d:]{8}Z')


def feed_until(end: datetime) -> Iterator[tuple[Path, int, bytes]]:
    """The lines of the feed with their places; times that are wrong on purpose stay as they are."""
    by = end.replace(microsecond=0) - ENDS

    def moved(match: re.Match[bytes]) -> bytes:
        return (datetime.fromisoformat(match.group().decode()) + by).isoformat().encode()

    for path, number, line in read_lines([FEED]):
        yield path, number, _TIME.sub(moved, line)
