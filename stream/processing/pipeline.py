"""The way of a chunk: decode, score, judge, send, and only then acknowledge."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from itertools import count
from typing import Protocol, TypeVar

from redis.exceptions import RedisError

from models.batcher import Batcher
from models.results import Result
from models.spec import Predictor
from stream.alerts.store import Raised
from stream.config.queues import Queue
from stream.connections.outbox import Outgoing, RecordSink
from stream.ingest.chunks import Chunk, ChunkTracker
from stream.ingest.dead_letter import DeadLetter
from stream.ingest.sources import Decoder
from stream.names import Topics
from stream.processing.admission import Admission
from stream.processing.in_order import InOrder
from stream.processing.judge import (
    Finished,
    Refused,
    Shipment,
    Work,
    apply_rules,
    judge,
    scored_records,
)
from stream.processing.telemetry import Telemetry
from stream.records import Alert, Scored, encode, model_text, utc_now
from stream.rules.rule_set import Match, RuleSet
from stream.runtime.backoff import Backoff
from stream.runtime.tasks import end
from stream.signals.signal_store import Observed
from stream.subjects.finder import SubjectFinder

T = TypeVar("T")

# How much later than a ticket a text may be scored when the model is busy: somebody waits for the
# answer to a ticket, news moves a price once, and a post is one of many.
PATIENCE_S = {"ticket": 0.0, "news": 0.25, "social": 1.0}

SHIPPED_AT_ONCE = 500
"""Events of a micro-batch of judging: Redis does nothing else while it folds them in."""

logger = logging.getLogger(__name__)


class AlertSink(Protocol):
    """Where alerts live; raising the same event's match again repeats its first answer."""

    async def raise_alerts(self, matches: Sequence[tuple[Scored, Match]]) -> Raised: ...


class Observer(Protocol):
    """Where windows live; observing the same event again repeats its first answer."""

    async def observe(self, batch: Sequence[Scored], asked: Collection[str]) -> Observed: ...


class NoveltySink(Protocol):
    """Where first events are kept; marking the same event again repeats its first answer."""

    async def mark(self, batch: Sequence[Scored]) -> list[Scored]: ...


class Pipeline:
    """Owns the records in work: at most capacity a source, counted from decoding to confirmation.

    start() and stop() frame its use, on one event loop. rules may be replaced at any time; the next
    micro-batch is judged by the new ones. broken resolves to the error that makes going on
    impossible; nothing is acknowledged after it.
    """

    def __init__(
        self,
        *,
        predictor: Predictor,
        max_batch_tokens: int,
        languages: Sequence[str],
        subjects: SubjectFinder,
        rules: RuleSet,
        queues: Sequence[Queue],
        topics: Topics,
        novelty: NoveltySink,
        signals: Observer,
        alerts: AlertSink,
        outbox: RecordSink,
        tracker: ChunkTracker,
        telemetry: Telemetry,
        capacity: int,
    ) -> None:
        self._languages = languages
        self._subjects = subjects
        self.rules = rules
        self._queues = queues
        self._topics = topics
        self._novelty = novelty
        self._signals = signals
        self._alerts = alerts
        self._outbox = outbox
        self._tracker = tracker
        self._telemetry = telemetry
        self._admissions: defaultdict[str, Admission] = defaultdict(lambda: Admission(capacity))
        self._loop = asyncio.get_running_loop()
        self._numbers = count()
        self._in_order: InOrder[tuple[str, int], Result[Work]] = InOrder()
        self._finished: deque[Finished] = deque()
        self._any_finished = asyncio.Event()
        # How often a rule had failed or been slow when it was last said, or when its rules began.
        self._known_rules = rules
        self._known_errors: dict[str, float] = {}
        self._known_slow: dict[str, float] = {}
        self.broken: asyncio.Future[Exception] = self._loop.create_future()
        self.batcher: Batcher[Work] = Batcher(
            predictor,
            max_batch_tokens=max_batch_tokens,
            kind_of=lambda work: work.event.source,
            patience_of=lambda work: PATIENCE_S[work.event.source],
            deliver=self._deliver_from_model_thread,
            broken=self._break_from_model_thread,
        )

    def start(self) -> None:
        self.batcher.start()
        self._shipper = self._loop.create_task(self._ship_for_ever(), name="shipper")

    async def stop(self, timeout_s: float) -> None:
        """Call after the last chunk is settled; what is still in work then is read again later."""
        await asyncio.to_thread(self.batcher.stop, timeout_s)
        await end(self._shipper)

    async def accept(self, chunk: Chunk, decoder: Decoder) -> None:
        """Take a chunk in; waits while there is no room, which pauses its partition in the end."""
        await self._admissions[chunk.tp.topic].admit(len(chunk.records))
        self._telemetry.in_flight += len(chunk.records)
        now = utc_now()
        work: list[tuple[Work, str]] = []
        refused: list[Refused] = []
        for record in chunk.records:
            decoded = decoder.decode(record, now)
            if isinstance(decoded, DeadLetter):
                refused.append(Refused(decoded, chunk))
            else:
                text = model_text(decoded.title, decoded.text)
                number = next(self._numbers)
                self._in_order.enter(chunk.tp, number)
                work.append((Work(decoded, record, chunk, number), text))
        if work:
            self.batcher.submit(work)
        if refused:
            self._finish(refused)

    def _deliver_from_model_thread(self, results: list[Result[Work]]) -> None:
        self._loop.call_soon_threadsafe(self._finish_scored, results)

    def _break_from_model_thread(self, error: Exception) -> None:
        self._loop.call_soon_threadsafe(self.fail, error)

    @property
    def held(self) -> int:
        """Texts that are scored and wait for one before them in their partition."""
        return self._in_order.held

    def _finish_scored(self, results: list[Result[Work]]) -> None:
        free = self._in_order.finish((one.item.chunk.tp, one.item.number, one) for one in results)
        if free:
            self._finish(free)

    def _finish(self, finished: Sequence[Finished]) -> None:
        self._finished.extend(finished)
        self._any_finished.set()

    def fail(self, error: Exception) -> None:
        """End the worker: an error that no retry mends."""
        if not self.broken.done():
            self.broken.set_result(error)

    async def _ship_for_ever(self) -> None:
        """One shipment at a time, each of what finished during the last: order is kept."""
        finished = self._finished
        try:
            while True:
                await self._any_finished.wait()
                self._any_finished.clear()
                while finished:
                    count = min(len(finished), SHIPPED_AT_ONCE)
                    await self._ship([finished.popleft() for _ in range(count)])
        except Exception as error:  # noqa: BLE001 - whatever it is, the worker must end, not hang
            self.fail(error)

    async def _ship(self, batch: Sequence[Finished]) -> None:
        shipment = judge(
            batch,
            subjects=self._subjects,
            queues=self._queues,
            topics=self._topics,
            languages=self._languages,
            now=utc_now(),
        )
        answers: list[Alert | None] = []
        turn = 0
        if shipment.scored:
            await self._judge(shipment, self.rules)
            turn = shipment.turns[-1]
        if matches := shipment.matches:
            answers, turn = await self._insist(lambda: self._alerts.raise_alerts(matches))
        alerts = [alert for alert in answers if alert]
        await self._outbox.send(
            [
                *scored_records(shipment, self._topics, turn),
                *shipment.outgoing,
                *(
                    Outgoing(self._topics.alerts, alert.fingerprint.encode(), encode(alert))
                    for alert in alerts
                ),
            ]
        )
        self._telemetry.shipped(shipment, answers)
        for chunk, records in shipment.settled.items():
            self._admissions[chunk.tp.topic].release(records)
            self._tracker.settle(chunk, records)

    async def _judge(self, shipment: Shipment, rules: RuleSet) -> None:
        """Tell copies from news, fold the batch into the windows, and ask the rules."""
        if rules is not self._known_rules:  # a rule that was repaired may fail again
            self._known_rules = rules
            self._known_errors, self._known_slow = dict(rules.errors), dict(rules.slow)
        found = shipment.scored
        marked = shipment.scored = await self._insist(lambda: self._novelty.mark(found))
        lasting = rules.lasting(marked)
        observed = await self._insist(lambda: self._signals.observe(marked, lasting))
        shipment.turns = observed.turns
        apply_rules(shipment, rules, observed)
        for name in _unsaid(rules.errors, self._known_errors):
            logger.warning("rule %s fails on an event: %s", name, rules.last_error[name])
        for name in _unsaid(rules.slow, self._known_slow):
            logger.warning("rule %s is slow on an event (alerting.slow_rule_ms)", name)
        self._telemetry.rule_errors, self._telemetry.slow_rules = rules.errors, rules.slow

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        backoff = Backoff("Redis takes neither events nor alerts", logger)
        while True:
            try:
                return await ask()
            except (RedisError, OSError) as error:
                await backoff.wait(error)


def _unsaid(counts: Mapping[str, int], known: dict[str, float]) -> list[str]:
    """The rules whose count grew; with these rules none of them is named again."""
    grown = [name for name, count in counts.items() if count > known.get(name, 0)]
    known.update(dict.fromkeys(grown, math.inf))
    return grown
