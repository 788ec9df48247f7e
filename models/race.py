"""Which of several ways to the same result is the fastest here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Way = TypeVar("Way")


def race(runs: Mapping[Way, Callable[[], object]], seconds: float) -> dict[Way, float]:
    """The least seconds of each, taken in turns for so long: what else runs here only adds to them.

    A lone one is not run.
    """
    if len(runs) == 1:
        return dict.fromkeys(runs, 0.0)
    for run in runs.values():  # once for whatever is prepared for a batch of this size
        run()
    least = dict.fromkeys(runs, math.inf)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for way, run in runs.items():
            start = time.perf_counter()
            run()
            least[way] = min(least[way], time.perf_counter() - start)
    return least
