"""What the trainer is doing, for whoever watches it."""

from __future__ import annotations

from collections import Counter

import msgspec


class Status(msgspec.Struct):
    """As it stands now; kept by the service, read by others.

    attempts count fits by speed and verdict: promoted, refused, or not done for want of labels.
    fitting is the speed of the fit under way, "" without one; progress is its last epoch in words.
    polled_at and fitting_since are of time.monotonic().
    """

    champion: str = ""
    labels: int = 0
    disputed: int = 0
    unknown: int = 0
    refused: int = 0
    waits_for: str = ""
    attempts: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    deposed: int = 0
    fitting: str = ""
    fitting_since: float = 0.0
    progress: str = ""
    polled_at: float = 0.0
