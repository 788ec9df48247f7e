"""The windows of subjects in memory, for backtests. Pure.

Nothing expires, and nothing is recognised: whoever gives an event twice has it counted twice.
"""

from __future__ import annotations

from collections.abc import Collection

from stream.config.signals import Signals
from stream.records import Scored
from stream.signals.windows import Windows, fold, observe


class SubjectWindows:
    """Every subject seen so far."""

    def __init__(self, settings: Signals, kinds: Collection[str] | None = None) -> None:
        """kinds: which subjects to follow; None for all."""
        self._settings = settings
        self._kinds = kinds
        self._subjects: dict[str, Windows] = {}

    def observe(self, scored: Scored) -> dict[str, Windows]:
        """The windows of the event's subjects with it folded in; they go on changing."""
        return fold(observe(scored, self._kinds), self._subjects, self._settings)
