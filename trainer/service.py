"""The trainer service: labels in, challengers judged, champions published and watched over."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from aiokafka import AIOKafkaProducer

from models.registry import Registry
from models.spec import ModelError
from stream.records import utc_now
from trainer.errors import LabelLogError, TrainerError
from trainer.full_disk import retry_while_disk_is_full
from trainer.labels.label_log import LABELS_FILE, LabelLog
from trainer.labels.label_queue import questions
from trainer.labels.settlement import Label, Settled, Settlement, labels_of
from trainer.progress import progress_of
from trainer.promotion.champion import Champion
from trainer.promotion.contest import contest
from trainer.promotion.drift import Drift
from trainer.promotion.drift_file import load_seen, save_seen
from trainer.promotion.gate import judge
from trainer.promotion.publish import publish
from trainer.promotion.shadow import ShadowRun
from trainer.promotion.vector_cache import cache_own_sentences
from trainer.schedule import Speed, due, killed_too_often, waits_for
from trainer.service_config import ServiceConfig
from trainer.status import NOT_DONE, Status
from trainer.topics import Reader, Reading, refuse

T = TypeVar("T")
logger = logging.getLogger(__name__)

RETRY_S = 2.0
STOP_S = 5.0
# What to label next changes slowly, and looking costs seconds of a core.
ASK_EVERY_S = 60.0
ASK_AMONG = 300
# A kill forgets what drift has counted in so many seconds, of windows of 1,000 answers.
KEEP_DRIFT_EVERY_S = 5.0
MAX_REQUEST_BYTES = 8 * 1024 * 1024


class TrainerService:
    """One trainer a registry. start() and stop() frame its use, on one event loop."""

    def __init__(self, config: ServiceConfig, registry: Registry) -> None:
        self._config = config
        self._registry = registry
        self._settlement = Settlement(())
        self._settled = self._settlement.settled()
        self._changed_at = time.monotonic()
        self._champion = Champion(registry, config.parent)
        self.status = Status()
        self._drift = Drift(config.drift_above)
        self._drift_kept_at = 0.0
        self._unasked = 0
        self._asked_at = 0.0
        self._attempt: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises ModelError, TrainerError, or KafkaError when no broker answers."""
        config = self._config
        # A worker on this machine needs the other cores: it has seconds, the trainer has minutes.
        torch.set_num_threads(1)
        self._log = LabelLog(config.folder / LABELS_FILE, remember_events=config.remember_events)
        self._log.check()
        self.status.take_up(self._log.attempts.latest(1))
        champion = self._champion
        await asyncio.to_thread(champion.open)
        self._drift = Drift(config.drift_above, load_seen(config.folder, champion.version))
        # Now, so that the first label does not wait for it.
        await asyncio.to_thread(cache_own_sentences, champion.contender, config.folder)
        names = config.topics
        self._reader = Reader(
            config.kafka, feedback=names.feedback, scored=names.scored, shadow=names.shadow
        )
        await self._reader.start(self._log)
        # Not idempotent: once refused a record, such a producer is never heard on that partition
        # again, and what a repeat costs here is nothing.
        self._producer = AIOKafkaProducer(
            acks="all", max_request_size=MAX_REQUEST_BYTES, **config.kafka
        )
        await self._producer.start()
        # A trainer killed between alias and announcement told nobody.
        champion.announce_by(self._producer, names.models)
        await champion.announce(champion.alias)
        self._shadow = ShadowRun(self._registry, champion, self._log, config.probation)
        await self._shadow.resume()
        self._settle()
        logger.info("champion %s since %s", champion.version, champion.alias.since.isoformat())

    async def run(self, stop: asyncio.Event) -> None:
        """Return when stop is set; what is under way then is done again after the next start."""
        self._stopping = stop
        while not stop.is_set():
            reading = await self._reader.poll(self._champion.contender.joint.heads)
            self.status.note_poll(self._champion.version)
            # Refused feedback is safe as a dead letter before the log counts it as read.
            if letters := reading.refused:
                if not await refuse(self._producer, self._config.topics.dead_letter, letters, stop):
                    return
                self.status.refused += len(letters)
            await self._take(reading)
            self._unasked += len(reading.events)
            try:
                await self._go_on()
            except (ModelError, LabelLogError) as error:
                # A share or a store may be away, or full; the labels wait, and nothing is lost.
                self.status.note_trouble(str(error))
                await asyncio.sleep(RETRY_S)

    async def _go_on(self) -> None:
        """End what is finished, look who is champion, begin what is due.

        Raises ModelError or LabelLogError.
        """
        if self._attempt and self._attempt.done():
            attempt, self._attempt = self._attempt, None
            attempt.result()
        if self._attempt is None:
            await self._champion.watch(self._settled, self._config.limits, self._log.attempts)
            await self._shadow.watch()
            self.status.note_shadow(self._shadow.version, self._shadow.agreements)
            if self._settlement.heads != tuple(self._champion.contender.joint.heads):
                # No fit may see labels that this champion lacks, or miss those that it has.
                self._settle()
            self._begin_what_is_due()

    async def stop(self) -> None:
        if self._attempt:
            self._attempt.cancel()
            with contextlib.suppress(LabelLogError):
                self._log.attempts.end()
        self._keep_drift()
        # Without Kafka a producer waits long for what it holds, which is sent again anyway, and
        # stopping a consumer raises the cancellation of its own fetches.
        stops = (self._reader.stop(), self._producer.stop())
        await asyncio.wait([*map(asyncio.create_task, stops)], timeout=STOP_S)
        self._log.close()

    async def _take(self, reading: Reading) -> None:
        for shift in self._drift.note(reading.answers, self._champion.version):
            logger.warning("drift since %s is champion: %s", self._champion.version, shift)
        self.status.drift = {(at.head, at.source, at.of): at.distance for at in self._drift.shifts}
        if reading.answers and time.monotonic() - self._drift_kept_at >= KEEP_DRIFT_EVERY_S:
            self._keep_drift()
        changed = await self._tried_until_done(lambda: self._keep(reading))
        if changed:
            self._settle(changed)

    async def _tried_until_done(self, write: Callable[[], Awaitable[T]]) -> T:
        return await retry_while_disk_is_full(write, self._stopping, self.status.note_obstacle)

    async def _noted(self, write: Callable[[], None]) -> None:
        async def written() -> None:
            write()

        await self._tried_until_done(written)

    async def _keep(self, reading: Reading) -> set[str]:
        self._shadow.note(reading.shadowed)
        if not reading.read_up_to:
            return set()
        return self._log.append(
            reading.accepted, reading.events, reading.read_up_to, reading.before
        )

    def _keep_drift(self) -> None:
        self._drift_kept_at = time.monotonic()
        try:
            save_seen(self._config.folder, self._drift.seen)
        except OSError as error:
            logger.warning("what drift has counted is not kept (%s)", error)

    def _settle(self, changed: set[str] | None = None) -> None:
        """What is said of these events now; of all where there are other heads, or at the start."""
        before, heads = self._settled, self._champion.contender.joint.heads
        if self._settlement.heads != tuple(heads):
            self._settlement, changed = Settlement(heads), None
        for one in self._log.spoken(changed):
            self._settlement.take(*one)
        self._settled = self._settlement.settled()
        self.status.note_labels(self._settled)
        if self._settled.fingerprint == before.fingerprint:
            return
        self._changed_at = time.monotonic()
        logger.info("%s", self._settled)

    def _begin_what_is_due(self) -> None:
        schedule = self._config.schedule
        progress = progress_of(
            self._settled,
            self._log.attempts,
            self._drift,
            schedule,
            quiet_s=time.monotonic() - self._changed_at,
            now=utc_now(),
        )
        in_shadow = self._shadow.version
        if not in_shadow and (speed := due(schedule, progress)):
            self._attempt = asyncio.create_task(self._train(speed, self._settled))
        elif self._unasked and time.monotonic() - self._asked_at >= ASK_EVERY_S:
            self._attempt = asyncio.create_task(self._ask())
        else:
            words = self._shadow.words() or waits_for(schedule, progress)
            self.status.note_waiting(words, aloud=not progress.new and not in_shadow)

    async def _ask(self) -> None:
        """Choose what people should label next, of the events that came last."""
        self._unasked, self._asked_at = 0, time.monotonic()
        events, labels = self._log.unlabelled(ASK_AMONG), self._settled.labels
        asked = await asyncio.to_thread(questions, self._champion.contender, events, labels)
        first = self._shadow.questions()
        known = {(one.event_id, one.head) for one in first}
        rest = [one for one in asked if (one.event_id, one.head) not in known]
        await self._noted(partial(self._log.note_questions, [*first, *rest]))

    async def _train(self, speed: Speed, settled: Settled) -> None:
        begun, after = time.monotonic(), self._champion.alias.number
        fit = f"{speed} {self._champion.version} {settled.fingerprint}"
        if why := killed_too_often(self._log.attempts.times_begun(fit)):
            await self._give_up(speed, settled, why)
            return
        await self._noted(partial(self._log.attempts.begin, fit))
        self.status.begin_fit(speed, len(settled.labels))
        try:
            challenger = await contest(
                self._champion,
                settled,
                speed,
                note_epoch=self.status.note_epoch,
                tensorboard=self._config.tensorboard,
            )
        except (TrainerError, RuntimeError, MemoryError) as error:
            # The labels, or what torch makes of them here: a restart would begin the same fit.
            await self._give_up(speed, settled, str(error) or type(error).__name__)
            return
        finally:
            self.status.fitting = ""
        await self._noted(self._log.attempts.end)
        verdict = judge(challenger.evidence, self._config.limits)
        seconds = time.monotonic() - begun
        alias, shadowed = None, bool(self._config.probation.events)
        if verdict.promoted:
            publishing = partial(publish, self._registry, challenger, verdict, shadowed, after)
            alias = await self._tried_until_done(lambda: asyncio.to_thread(publishing))
            if not alias:
                await self._note_other_champion(speed, settled)
                return
        self.status.note_verdict(speed, verdict, seconds)
        if alias and shadowed:
            await self._tried_until_done(lambda: self._shadow.begin(alias))
        elif alias:
            await self._champion.adopt(alias)
        suspects = labels_of(settled.labels, challenger.doubtful)
        await self._note_attempt(speed, settled, suspects, str(verdict))

    async def _give_up(self, speed: Speed, settled: Settled, why: str) -> None:
        """Not done, and not to be begun again with these labels."""
        self.status.note_not_done(speed, why)
        await self._note_attempt(speed, settled, None, f"{NOT_DONE}: {why}")

    async def _note_other_champion(self, speed: Speed, settled: Settled) -> None:
        """Under no fit's name, so that the labels are due again, for the champion that there is."""
        words = self.status.note_not_done(speed, "another champion meanwhile")
        self._champion.look_at_once()
        await self._noted(partial(self._log.attempts.note_by_hand, settled, words, utc_now()))

    async def _note_attempt(
        self, speed: Speed, settled: Settled, suspects: Sequence[Label] | None, verdict: str
    ) -> None:
        note = partial(self._log.attempts.note, settled, suspects, verdict, utc_now(), speed)
        # Else the fit would be done again: what it had of labels would count as untried.
        await self._noted(note)
        # Another champion begins a reference of its own.
        if speed == "deep" and self._drift.seen.champion == self._champion.version:
            tried = self._drift.note_tried()
            self._keep_drift()
            if tried:
                logger.info(
                    "tried for drift in %s; not again until it has grown by %.2f or came back",
                    "; ".join(map(str, tried)),
                    self._config.drift_above,
                )
