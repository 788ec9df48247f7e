"""The trainer's state for its log, health and metrics."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from trainer.fitting.measure import Epoch
from trainer.labels.settlement import Settled
from trainer.promotion.gate import Verdict
from trainer.promotion.probation import Agreement

NOT_DONE = "not done"
logger = logging.getLogger(__name__)


class Status(msgspec.Struct):
    """As it stands now; kept by the service, read by others.

    attempts count fits by speed and verdict: promoted, refused, or not done for want of labels or
    because somebody moved the champion meanwhile.
    not_done says why the last fit was not, "" where it was.
    fitting is the speed of the fit under way, "" without one; progress is its last epoch in words.
    challenger is the version in shadow, "" without one; shadow are, by head, its answers and
    how many of them differ from the champion's.
    drift are indices of stability by head, source and what moved (trainer.promotion.drift).
    polled_at and fitting_since are of time.monotonic().
    """

    champion: str = ""
    challenger: str = ""
    shadow: dict[str, tuple[int, int]] = {}
    labels: int = 0
    disputed: int = 0
    unknown: int = 0
    refused: int = 0
    drift: dict[tuple[str, str, str], float] = {}
    waits_for: str = ""
    attempts: Counter[tuple[str, str]] = msgspec.field(default_factory=Counter)
    not_done: str = ""
    fitting: str = ""
    fitting_since: float = 0.0
    progress: str = ""
    polled_at: float = 0.0

    def note_poll(self, champion: str) -> None:
        self.polled_at, self.champion = time.monotonic(), champion

    def note_shadow(self, challenger: str, agreements: Sequence[Agreement]) -> None:
        self.challenger = challenger
        self.shadow = {one.head: (one.answers, one.differ) for one in agreements}

    def note_labels(self, settled: Settled) -> None:
        self.labels = len(settled.labels)
        self.disputed = len(settled.disputed)
        self.unknown = len(settled.unknown)

    def note_waiting(self, words: str, *, aloud: bool) -> None:
        if aloud and words != self.waits_for:
            logger.info("%s", words)
        self.waits_for = words

    def note_trouble(self, words: str) -> None:
        """Nothing can begin for this reason; said once for as long as it is the same."""
        if words != self.waits_for:
            logger.error("%s", words)
        self.waits_for = words

    def note_obstacle(self, words: str) -> None:
        """What is done already can't be written for this reason."""
        self.waits_for = words

    def take_up(self, latest: Sequence[Mapping[str, str]]) -> None:
        """The last attempt of the trainer before this one, if any."""
        for one in latest:
            if one["verdict"].startswith(NOT_DONE):
                self.not_done = f"{one['speed']} fit {one['verdict']}"

    def begin_fit(self, speed: str, labels: int) -> None:
        logger.info("%s fit on %d labels", speed, labels)
        self.fitting, self.fitting_since, self.progress = speed, time.monotonic(), ""

    def note_verdict(self, speed: str, verdict: Verdict, seconds: float) -> None:
        self.attempts[speed, "promoted" if verdict.promoted else "refused"] += 1
        self.not_done = ""
        logger.info("%s after %.1f s", verdict, seconds)

    def note_not_done(self, speed: str, why: str) -> str:
        """In words."""
        self.attempts[speed, NOT_DONE] += 1
        self.not_done = f"{speed} fit {NOT_DONE}: {why}"
        logger.warning("%s", self.not_done)
        return self.not_done

    def note_epoch(self, epoch: Epoch) -> None:
        self.progress = str(epoch)
        logger.info("deep fit: %s", epoch)
