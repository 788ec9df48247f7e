"""How long events took from their sending to their scored record."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from itertools import pairwise

PARTS = 5
# A percentile of fewer says nothing.
LEAST_EVENTS = 1_000


class Waits:
    """(when an event was sent, seconds until its scored record), in the order of sending."""

    def __init__(self, waits: Iterable[tuple[float, float]]) -> None:
        self._waits = [wait for _, wait in sorted(waits)]

    def describe(self) -> str:
        """p50 and p99 of each part of the run: whether the wait drifts."""
        if len(self._waits) < PARTS * LEAST_EVENTS:
            return ""
        ends = [len(self._waits) * part // PARTS for part in range(PARTS + 1)]
        found = []
        for begin, end in pairwise(ends):
            hundredths = statistics.quantiles(self._waits[begin:end], n=100)
            found.append(f"{hundredths[49]:.2f} / {hundredths[98]:.2f}")
        return f"; p50 / p99 in seconds, a fifth of the events at a time: {', '.join(found)}"
