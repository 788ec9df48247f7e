"""The windows of subjects in memory: for backtests, and for what one call to Redis folded in. Pure.

Nothing expires, and nothing is recognised: whoever gives an event twice has it counted twice.
"""

from __future__ import annotations

from collections.abc import Collection

from stream.config.signals import Signals
from stream.records import Scored
from stream.signals.windows import Observation, Windows, fold, observe


class SubjectWindows:
    """Every subject seen so far."""

    def __init__(
        self,
        settings: Signals,
        kinds: Collection[str] | None = None,
        subjects: dict[str, Windows] | None = None,
    ) -> None:
        """kinds: which subjects to follow; None for all. subjects: how they are before."""
        self._settings = settings
        self._kinds = kinds
        self._subjects = subjects or {}

    def observe(self, scored: Scored) -> dict[str, Windows]:
        """The windows of the event's subjects with it folded in; they go on changing."""
        return self.fold(observe(scored, self._kinds))

    def fold(self, seen: Observation) -> dict[str, Windows]:
        """The same of an event that is an observation already."""
        return fold(seen, self._subjects, self._settings)
