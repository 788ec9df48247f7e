"""A new version's time in shadow: begun after the gate, watched, and ended with a reason."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from models.registry import CHALLENGER, CHAMPION, Alias, AliasMovedError, Registry
from models.spec import ModelError
from stream.records import Shadowed, utc_now
from trainer.labels.label_log import LabelLog
from trainer.labels.label_queue import QUESTIONS_PER_HEAD
from trainer.labels.question import Question
from trainer.promotion.champion import Champion
from trainer.promotion.probation import Agreement, Probation, answered, outcome, waits_for
from trainer.promotion.publish import TRAINER

logger = logging.getLogger(__name__)

GONE = "the champion that it was compared with is gone"


class ShadowRun:
    """At most one challenger in shadow of the champion. For one event loop.

    Which version that is, and since when, is in the registry; its answers are in the label log. So
    a restart goes on where the last process stopped.
    """

    def __init__(
        self, registry: Registry, champion: Champion, log: LabelLog, probation: Probation
    ) -> None:
        self._registry = registry
        self._champion = champion
        self._log = log
        self._probation = probation
        self._alias: Alias | None = None
        self._compared_with: Alias | None = None
        self._since_s = 0.0
        self.agreements: list[Agreement] = []
        """Of the version in shadow, by head; empty without one."""

    @property
    def version(self) -> str:
        """The version in shadow, "" without one."""
        return self._alias.version if self._alias else ""

    async def resume(self) -> None:
        """Take up what an earlier process began, and tell the workers again."""
        alias = await asyncio.to_thread(self._registry.alias, CHALLENGER)
        if not alias or not alias.version:
            return
        await self.begin(alias)
        training = await asyncio.to_thread(self._training, alias.version)
        if training.get("parent") != self._champion.version:
            # Somebody moved the champion while no trainer ran: no number is the one of the start.
            self._compared_with = None

    async def begin(self, alias: Alias) -> None:
        self._alias = alias
        # Of a clock that does not jump, with what went by before a restart.
        gone_s = max(0.0, (utc_now() - alias.since).total_seconds())
        self._since_s = time.monotonic() - gone_s
        self._compared_with = self._champion.alias
        self._log.shadow.keep_only(alias.version)
        self._count()
        await self._champion.announce(alias)
        logger.info("%s runs in shadow: %s", alias.version, alias.why)

    def note(self, answers: Sequence[Shadowed]) -> None:
        """Answers of workers; those of other pairs of versions say nothing of this one.

        Once there are enough, further ones are left out: they would only fill the file.
        """
        if answered(self.agreements) >= self._probation.events:
            return
        pair = (self._champion.version, self.version)
        if own := [one for one in answers if (one.champion, one.challenger) == pair]:
            self._log.shadow.append(own)
            self._count()

    def words(self) -> str:
        """What it waits for, "" without a challenger."""
        if not self._alias:
            return ""
        return waits_for(self._probation, self.version, self.agreements)

    def questions(self) -> list[Question]:
        """Where champion and challenger differ, the latest first: there a label decides most."""
        return self._log.shadow.differences(QUESTIONS_PER_HEAD)

    async def watch(self) -> None:
        """End the time in shadow when it is decided."""
        alias = self._alias
        if alias is None:
            return
        if alias.version == self._champion.version:
            await self._end(alias, "promoted")
            return
        if not self._has_the_same_champion():
            await self._end(alias, f"refused: {GONE}")
            return
        waited_s = time.monotonic() - self._since_s
        decided = outcome(self._probation, self.agreements, waited_s)
        if decided is None:
            return
        if decided.promoted:
            why = f"{alias.why}; {decided.why}"
            try:
                crowned = await asyncio.to_thread(self._point_champion, alias.version, why)
            except AliasMovedError as error:
                logger.warning("%s", error)
                self._champion.look_at_once()
                await self._end(alias, f"refused: {GONE}")
                return
            await self._champion.adopt(crowned)
        said = "promoted" if decided.promoted else "refused"
        await self._end(alias, f"{said}: {decided.why}")

    def _count(self) -> None:
        self.agreements = self._log.shadow.agreements().get(self.version, [])

    async def _end(self, alias: Alias, why: str) -> None:
        """Each step may fail, and all are then done again: the alias is cleared once all the same.

        Raises ModelError or LabelLogError, and the version then is still in shadow.
        """
        training = await asyncio.to_thread(self._training, alias.version)
        back = await asyncio.to_thread(self._cleared, alias.version, why)
        if training:
            self._log.attempts.note_end_of_shadow(training, why, utc_now())
        self._alias, self.agreements = None, []
        await self._champion.announce(back)
        logger.info("%s is no longer in shadow: %s", alias.version, why)

    def _point_champion(self, version: str, why: str) -> Alias:
        after = self._champion.alias.number
        return self._registry.point(
            CHAMPION, version, by=TRAINER, why=why, now=utc_now(), after=after
        )

    def _has_the_same_champion(self) -> bool:
        """As at the start; also where the trainer has taken back what somebody promoted since.

        Who makes it champion again by hand insists, and is not overridden.
        """
        before, now = self._compared_with, self._champion.alias
        if before is None:
            return False
        taken_back = before.version == now.version and now.by == TRAINER
        return taken_back or before.number == now.number

    def _cleared(self, version: str, why: str) -> Alias:
        now = self._registry.alias(CHALLENGER)
        if now and now.version != version:
            return now
        return self._registry.clear(CHALLENGER, by=TRAINER, why=why, now=utc_now())

    def _training(self, version: str) -> dict[str, Any]:
        """What its description says of its fit; empty where there is none to read any more."""
        try:
            return self._registry.describe(version).training
        except ModelError as error:
            logger.warning("%s", error)
            return {}
