"""The champion of the registry: loaded, announced, and judged where somebody else moved it."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from models.description import shipped
from models.registry import CHAMPION, Alias, Registry
from models.spec import ModelError, lost_heads
from stream.records import utc_now
from trainer.errors import LabelLogError
from trainer.fitting.config import bf16_helps
from trainer.labels.attempts import Attempts
from trainer.labels.settlement import Label, Settled
from trainer.promotion.compare import compare
from trainer.promotion.contender import Contender, load_contender
from trainer.promotion.data_split import split_labels
from trainer.promotion.gate import Evidence, Limits, judge
from trainer.promotion.publish import TRAINER, announce

logger = logging.getLogger(__name__)

LOOK_AT_ALIAS_S = 1.0


class Champion:
    """Whom the registry names. open() comes first; everything else is for one event loop."""

    def __init__(self, registry: Registry, parent: Path | None) -> None:
        """Parent becomes the first champion of an empty registry; the shipped model if None."""
        self._registry = registry
        self._parent = parent
        self._looked_at = 0.0
        self._contender: Contender | None = None

    def open(self) -> None:
        """Load the champion; blocks. Raises ModelError."""
        self.alias = self._registry.alias(CHAMPION) or self._first()
        self._contender = self._load(self.alias.version)

    def announce_by(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer, self._topic = producer, topic

    @property
    def contender(self) -> Contender:
        if self._contender is None:
            raise RuntimeError("open() the champion first")
        return self._contender

    @property
    def version(self) -> str:
        return self.alias.version

    def root(self) -> Contender:
        """The version that the champion's fast fits descend from: itself, unless it is one."""
        training = self.contender.checkpoint.training
        fast = training.get("speed") == "fast"
        return self._load(training["root"]) if fast else self.contender

    async def adopt(self, alias: Alias) -> None:
        self._contender = await asyncio.to_thread(self._load, alias.version)
        self.alias = alias
        await self.announce(alias)
        logger.info("champion is now %s", alias.version)

    async def announce(self, alias: Alias) -> None:
        """Tell the workers where an alias points."""
        try:
            await announce(self._producer, self._topic, alias)
        except KafkaError as error:
            # The alias has moved all the same; a restart of whoever missed it, or of me, mends it.
            logger.warning("could not announce %s (%r)", alias.version, error)

    async def watch(self, settled: Settled, limits: Limits, attempts: Attempts) -> None:
        """Whom others made champion is judged too, and deposed if worse than the one before.

        The verdict goes to attempts. One that was champion before is left: somebody insists, or
        takes a bad one back. Raises ModelError when the registry can't be used, that version is
        damaged, or somebody moves the champion meanwhile; the next watch() then looks again.
        """
        if time.monotonic() - self._looked_at < LOOK_AT_ALIAS_S:
            return
        await self._look(settled, limits, attempts)
        # After what can fail, so that a look that failed is taken again at once.
        self._looked_at = time.monotonic()

    def look_at_once(self) -> None:
        """Have the next watch() look: somebody is known to have moved the alias."""
        self._looked_at = -math.inf

    async def _look(self, settled: Settled, limits: Limits, attempts: Attempts) -> None:
        newest = await asyncio.to_thread(self._registry.alias, CHAMPION)
        if not newest:
            raise ModelError(
                f"registry {self._registry.address}: is empty, though it had a champion; bring it "
                "back, or restart the trainer to begin a new one"
            )
        if newest.number == self.alias.number:
            return
        contender = await asyncio.to_thread(self._load, newest.version)
        if await asyncio.to_thread(self._was_champion_before, newest):
            self._follow(newest, contender)
            logger.info(
                "%s is left unjudged: it was champion before, so somebody insists or takes a bad "
                "one back",
                newest.version,
            )
            return
        evidence = await asyncio.to_thread(self._compared, contender, settled.labels)
        verdict = judge(evidence, limits, must_gain=False)
        if verdict.promoted:
            self._follow(newest, contender)
            why = f"{newest.version} may stay: {'; '.join(verdict.reasons)}"
            logger.info("%s", why)
            _note(attempts, settled, why)
            return
        why = f"taken back from {newest.version}: {'; '.join(verdict.reasons)}"
        back = self.version
        # Before anything here says so: where it fails, the next look judges that version again.
        alias = await asyncio.to_thread(
            lambda: self._registry.point(
                CHAMPION, back, by=TRAINER, why=why, now=utc_now(), after=newest.number
            )
        )
        logger.warning("%s, which %s made champion: %s", why, newest.by, newest.why)
        await self.adopt(alias)
        _note(attempts, settled, why)

    def _follow(self, newest: Alias, contender: Contender) -> None:
        if lost := lost_heads(self.contender.joint.heads, contender.joint.heads):
            logger.warning(
                "%s lacks %s: labels for that teach nothing, and new ones are refused",
                newest.version,
                ", ".join(lost),
            )
        self._contender, self.alias = contender, newest
        logger.info("%s made %s champion: %s", newest.by, newest.version, newest.why)

    def _was_champion_before(self, newest: Alias) -> bool:
        history = self._registry.history(CHAMPION)
        return newest.version in {one.version for one in history if one.number < newest.number}

    def _compared(self, contender: Contender, labels: Sequence[Label]) -> Evidence:
        return Evidence(slices=tuple(compare(self.contender, contender, split_labels(labels, {}))))

    def _load(self, version: str) -> Contender:
        bf16 = bf16_helps(torch.device("cpu"))
        return load_contender(self._registry.folder(version), bf16=bf16, sharing=self._contender)

    def _first(self) -> Alias:
        checkpoint = self._registry.add(self._parent or shipped())
        return self._registry.point(
            CHAMPION, checkpoint.version, by=TRAINER, why="the first version", now=utc_now()
        )


def _note(attempts: Attempts, settled: Settled, verdict: str) -> None:
    try:
        attempts.note_by_hand(settled, verdict, utc_now())
    except LabelLogError as error:
        # The alias's own history has it too; a full disk must not end the trainer.
        logger.warning("the verdict is not noted: %s", error)
