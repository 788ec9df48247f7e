"""Composition root: builds the services of one worker, starts them in order, drains them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

from models.shadow import Shadow
from models.spec import Predictor
from stream.alerts.change_log import ChangeLog
from stream.alerts.lifecycle import Lifecycle
from stream.alerts.store import AlertStore
from stream.alerts.sweeper import Sweeper
from stream.config.settings import Settings
from stream.connections.clients import connect_redis, kafka_arguments
from stream.connections.kafka_outage import kafka_outage
from stream.connections.outbox import open_outbox
from stream.connections.topics import prepare_topics
from stream.ingest.chunks import ChunkTracker, faust_app, read_lags, start_reading
from stream.ingest.sources import Decoder
from stream.names import Keys
from stream.notify.delivery import DeliveryCounts
from stream.notify.notifier import Notifier
from stream.notify.redis_journal import RedisJournal
from stream.notify.routes_live import LiveRoutes
from stream.notify.routing import Routing
from stream.processing.agents import chunk_agent
from stream.processing.pipeline import Pipeline
from stream.processing.telemetry import Telemetry
from stream.processing.tickets import check_queues
from stream.rules.rule_set import RuleSet
from stream.rules.rules_live import LiveRules
from stream.runtime.backoff import present_troubles, with_remedy
from stream.runtime.errors import StartError
from stream.runtime.heap import trim_for_ever
from stream.runtime.tasks import end
from stream.serving.follower import Champions, Follower
from stream.serving.refusal import Refusal
from stream.serving.shadow_report import ShadowReport, can_read
from stream.signals.signal_store import SignalStore
from stream.sinks.build import build_sinks, check_receivers
from stream.subjects.copy_store import CopyStore
from stream.subjects.finder import SubjectFinder
from stream.worker.ledger_writer import LedgerWriter
from stream.worker.watchdog import Watchdog, WorkerProgress

logger = logging.getLogger(__name__)

CRASH_POLL_S = 0.5
# Redis remembers this many times what may be in work, so that every redelivered event is known.
WORK_REMEMBERED = 4


class Worker:
    """One worker: a Faust app with an agent a source, model threads, alerting and routing.

    Raises SettingsError or RuleError from the constructor, StartError from start().
    """

    def __init__(
        self, settings: Settings, predictor: Predictor, champions: Champions | None = None
    ) -> None:
        """champions: where newer models come from while the stream runs, if from anywhere."""
        self.settings = settings
        self.predictor = predictor
        self._champions = champions
        self.refused = Refusal()
        self.telemetry = Telemetry()
        self.deliveries = DeliveryCounts()
        self._subjects = SubjectFinder.load(settings.subjects)
        check_queues(settings.queues, predictor.heads)
        self.rules = LiveRules(settings, predictor.heads)
        self.routes = LiveRoutes(settings.alerting.routes)
        if self.routes.routing:
            check_receivers(self.routes.routing, settings)
        self._decoders = [Decoder(source, settings.limits) for source in settings.sources]
        self._keys = Keys(settings.redis.prefix)
        self._stack = contextlib.AsyncExitStack()
        self.swaps = 0
        self.started = False

    async def start(self) -> None:
        """Wait for Kafka and Redis, warm the model up, then start to consume."""
        settings = self.settings
        await prepare_topics(settings)
        self.redis = await connect_redis(settings)
        self._stack.push_async_callback(self.redis.aclose)
        await asyncio.to_thread(self.predictor.warm_up)
        logger.info("model %s", self.predictor.description)
        self._outbox = await self._stack.enter_async_context(open_outbox(settings.kafka))
        self._ledger = LedgerWriter(
            self._outbox,
            settings.topics.ledger,
            predictor=self.predictor,
            rules=self.rules.file,
        )
        signing = await self._ledger.start()
        folder = tempfile.TemporaryDirectory(prefix="bellwether-faust-")
        kafka = kafka_arguments(settings.kafka)
        self._app = faust_app(settings, kafka, self._stack.enter_context(folder))
        self.tracker = ChunkTracker(lambda: self._app.consumer_generation_id)
        self.pipeline = self._new_pipeline()
        self._register_agents()
        self.pipeline.start()
        self._run_beside(signing, self._ledger.stop)
        self._run_beside(self.rules.start(self._use_rules), self.rules.stop)
        self._run_alert_services()
        if self._champions:
            await self._follow_registry(self._champions)
        await start_reading(self._app, lambda: kafka_outage(settings))
        folder.cleanup()  # made for Faust's start, which keeps nothing in it
        self.watchdog = Watchdog(
            stall_s=settings.http.stall_s,
            look=self._look,
            lags=lambda: read_lags(self._app),
            outage=lambda: kafka_outage(settings),
            give_up=self.pipeline.fail,
        )
        self.watchdog.start()
        trimming = asyncio.create_task(trim_for_ever(), name="heap")
        self._run_beside(trimming, lambda: end(trimming))
        self.started = True
        logger.info(
            "consuming %s as group %s",
            ", ".join(source.topic for source in settings.sources),
            settings.kafka.group,
        )

    def _new_pipeline(self) -> Pipeline:
        settings, redis, keys = self.settings, self.redis, self._keys
        replay_s = settings.alerting.replay_s
        remembered = WORK_REMEMBERED * settings.most_in_work
        return Pipeline(
            predictor=self.predictor,
            max_batch_tokens=settings.model.max_batch_tokens or self.predictor.batch_tokens,
            languages=settings.model.languages,
            subjects=self._subjects,
            rules=self.rules.present,
            queues=settings.queues,
            topics=settings.topics,
            novelty=CopyStore(
                redis, keys, settings.novelty, replay_s=replay_s, remembered=remembered
            ),
            signals=SignalStore(
                redis, keys, settings.signals, replay_s=replay_s, remembered=remembered
            ),
            alerts=AlertStore(redis, keys, settings.alerting),
            outbox=self._outbox,
            tracker=self.tracker,
            telemetry=self.telemetry,
            capacity=settings.model.max_waiting,
        )

    def _register_agents(self) -> None:
        for source, decoder in zip(self.settings.sources, self._decoders, strict=True):
            topic = self._app.topic(
                source.topic, key_serializer="raw", value_serializer="raw", allow_empty=True
            )
            agent = chunk_agent(decoder, self.tracker, self.pipeline)
            self._app.agent(topic, name=f"source-{source.topic}")(agent)

    async def _follow_registry(self, champions: Champions) -> None:
        topics = self.settings.topics
        self._shadow_report = ShadowReport(self._outbox, topics.shadow, self.telemetry)
        self._run_beside(self._shadow_report.start(), self._shadow_report.stop)
        follower = Follower(
            champions,
            kafka=kafka_arguments(self.settings.kafka),
            topic=topics.models,
            running=lambda: self.predictor,
            swap=self._take_over,
            shadow=self._shadow,
            refused=self.refused,
        )
        self._run_beside(await follower.start(), follower.stop)

    @property
    def assigned(self) -> int:
        """Partitions this worker reads now; 0 until the group has formed."""
        return len(self._app.consumer.assignment())

    @property
    def joined(self) -> bool:
        """Whether the consumer group has this worker, with or without partitions."""
        return self.started and self._app.consumer_generation_id > 0

    def _run_beside(self, task: asyncio.Task[None], stop: Callable[[], Awaitable[None]]) -> None:
        """Have stop called at the end, and an error of the task end the worker at once."""

        def look(ended: asyncio.Task[None]) -> None:
            if not ended.cancelled() and (error := ended.exception()):
                logger.error("the task %s has ended", ended.get_name(), exc_info=error)
                self.pipeline.fail(error if isinstance(error, Exception) else RuntimeError(error))

        task.add_done_callback(look)
        self._stack.push_async_callback(stop)

    def _look(self) -> WorkerProgress:
        done = self.pipeline.batcher.statistics()
        shipped = self.telemetry.scored + self.telemetry.dead_letters["model_error"]
        return WorkerProgress(
            in_work=self.telemetry.in_flight,
            finished=self.telemetry.settled,
            troubles=present_troubles(),
            awaits_model=done.texts + done.failed <= shipped + self.pipeline.held,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Return when stop is set. Raises StartError when the worker can't go on."""
        stopping = asyncio.ensure_future(stop.wait())
        ends: list[asyncio.Future[Any]] = [stopping, self.pipeline.broken]
        try:
            while not stop.is_set():
                await asyncio.wait(ends, timeout=CRASH_POLL_S, return_when=asyncio.FIRST_COMPLETED)
                if self.pipeline.broken.done():
                    error = self.pipeline.broken.result()
                    raise StartError(
                        f"the worker can't go on ({type(error).__name__}: {error}); nothing in "
                        "work was acknowledged, a restart reads it again"
                    ) from error
                if self._app.crashed:
                    raise StartError(
                        f"the Kafka consumer has crashed ({with_remedy(self._app.crash_reason)}); "
                        "restart the worker"
                    )
        finally:
            stopping.cancel()

    async def stop(self) -> bool:
        """Drain what is in work within worker.drain_s. False: it took longer, and was left.

        What was left is unacknowledged: whoever has the partition next reads it again.
        """
        # Not asyncio.timeout: Faust's shutdown may swallow its cancellation and wait for ever.
        draining = asyncio.create_task(self._drain(), name="drain")
        done, _ = await asyncio.wait({draining}, timeout=self.settings.worker.drain_s)
        for task in done:
            task.result()
        return bool(done)

    async def _drain(self) -> None:
        await self.watchdog.stop()
        await self._app.stop()
        await self.pipeline.stop(self.settings.worker.drain_s)
        await self._stack.aclose()

    def _run_alert_services(self) -> None:
        """What happens to alerts beside the stream: none of it may slow or stop the pipeline."""
        alerting, redis, keys = self.settings.alerting, self.redis, self._keys

        def notifier(routing: Routing | None) -> Notifier:
            sinks = (
                build_sinks(routing, self.settings, redis=redis, outbox=self._outbox)
                if routing
                else {}
            )
            journal = RedisJournal(redis, keys, alerting)
            return Notifier(journal, routing, sinks, alerting, tally=self.deliveries)

        for service in (
            Sweeper(Lifecycle(redis, keys, alerting), alerting.quiet_s),
            ChangeLog(redis, keys, alerting, self._outbox, self.settings.topics.alerts),
        ):
            self._run_beside(service.start(), service.stop)
        self._run_beside(self.routes.start(notifier), self.routes.stop)

    async def _take_over(self, predictor: Predictor) -> None:
        # A model without a head that rules or queues read would silence them; the error names it.
        check_queues(self.settings.queues, predictor.heads)
        # Last, as from then on the rule file is read for these heads.
        await asyncio.to_thread(self.rules.check, predictor.heads)
        await self._ledger.model(predictor)
        self.pipeline.batcher.swap(
            predictor,
            max_batch_tokens=self.settings.model.max_batch_tokens or predictor.batch_tokens,
        )
        self.predictor = predictor
        self.swaps += 1

    def _shadow(self, challenger: Predictor | None) -> None:
        self.pipeline.batcher.shadow = (
            Shadow(
                challenger,
                share=self.settings.model.shadow_share,
                id_of=lambda work: work.event.id,
                reads=lambda work: can_read(work.event, self.settings.model.languages),
                deliver=self._shadow_report.take_from_model_thread,
            )
            if challenger
            else None
        )

    async def _use_rules(self, rules: RuleSet) -> None:
        await self._ledger.rules(self.rules.file)
        self.pipeline.rules = rules
        self.refused.try_again()  # a model may now do
