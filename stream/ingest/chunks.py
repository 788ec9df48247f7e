"""Faust fed one chunk of raw records per event, acknowledged in order.

Faust's cost is per event and its commit logic trusts no gap, so an event here is all that one
poll fetched of one partition. Only this file and consumer_thread.py know Faust's private parts; the
version is pinned, and tests/unit/stream/ingest/test_faust_pin.py fails when one of those changes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ClassVar

import faust
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.config.settings import Settings
from stream.ingest.consumer_thread import GATHER_MS, PromptConsumerThread
from stream.runtime.backoff import Backoff
from stream.runtime.errors import StartError
from stream.runtime.tasks import end

# Records that come three times within this have come often; so they do while they are gathered.
OFTEN_S = 5 * GATHER_MS / 1_000
LOOK_S = 0.5
# A group takes a few seconds to form. One that lost a member waits for it as long as its session.
SAID_AFTER_S = 10.0
FORMS = "Kafka is there; it takes until the group has given up members that ended without a word"
# Chunks a stream may hold before its partition leaves the fetch; each is up to max_poll_records.
STREAM_BUFFER_CHUNKS = 8
# How long partitions that are added, and a topic that is made anew, wait until somebody reads them.
NOTICED_MS = 30_000

logger = logging.getLogger(__name__)


class Chunk:
    """The records one poll fetched of one partition, and how many of them are not out yet."""

    __slots__ = ("event", "generation", "pending", "records", "tp")

    def __init__(self, event: Any, generation: int) -> None:
        self.event = event
        self.tp: TP = event.message.tp
        self.generation = generation
        self.records: list[ConsumerRecord[bytes, bytes]] = event.value
        self.pending = len(self.records)


class ChunkTracker:
    """Acknowledges chunks in the order their partition delivered them, whatever order they end in.

    A chunk of an earlier generation of the consumer group is dropped: its partition may belong to
    another worker, which reads it again.
    """

    def __init__(self, generation: Callable[[], int]) -> None:
        self._generation = generation
        self._open: dict[tuple[TP, int], deque[Chunk]] = defaultdict(deque)
        self.acknowledged_records = 0

    def open(self, event: Any) -> Chunk:
        chunk = Chunk(event, self._generation())
        self._open[chunk.tp, chunk.generation].append(chunk)
        return chunk

    def settle(self, chunk: Chunk, records: int) -> None:
        """Count records of a chunk as out: Kafka and Redis have confirmed all they caused."""
        chunk.pending -= records
        if chunk.pending < 0:
            raise ValueError(f"{chunk.tp}: more records settled than the chunk holds")
        place = (chunk.tp, chunk.generation)
        waiting = self._open[place]
        while waiting and waiting[0].pending == 0:
            done = waiting.popleft()
            if done.generation == self._generation():
                done.event.ack()
                self.acknowledged_records += len(done.records)
        if not waiting:
            del self._open[place]


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]  # faust is untyped here
    """Yields one message per partition and poll; its value is the list of raw records."""

    _thread: PromptConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By partition, since it is ours: the first offset that came, and the one after the last.
        self._came: dict[TP, tuple[int, int]] = {}
        self._last_two = (-math.inf, -math.inf)

    def _new_consumer_thread(self) -> PromptConsumerThread:
        return PromptConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:  # noqa: ASYNC109
        records, _ = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            await self.perform_seek()
            return
        if records:
            self._pace(time.monotonic())
        for tp, batch in records.items():
            if batch:
                if batch[0].offset < (self._read_offset[tp] or 0):
                    self._begin_anew(tp, batch[0].offset)
                first, _ = self._came.get(tp, (batch[0].offset, 0))
                self._came[tp] = first, batch[-1].offset + 1
        for tp, batch in records.items():
            if not self.flow_active or self.app.consumer_generation_id != generation:
                break
            if batch:
                # The message stands for its last record: acknowledging it commits the chunk.
                message = self._to_message(tp, batch[-1])
                message.key, message.value = None, batch
                yield tp, message

    def _pace(self, now: float) -> None:
        """Records came now."""
        before_last, last = self._last_two
        self._thread.gather(often=now - before_last < OFTEN_S)
        self._last_two = last, now

    def _begin_anew(self, tp: TP, offset: int) -> None:
        """Kafka gave no records from where we were to go on, and so its first: read them.

        Faust would pass over all up to there, and they were never read.
        """
        logger.warning(
            "%s[%d] ends before offset %d, where this worker was to go on: its topic was made "
            "anew, or brokers have lost records; reading it from offset %d on",
            *tp,
            self._read_offset[tp],
            offset,
        )
        for message in self._unacked_messages:
            if message.tp == tp:
                message.acked = True  # the offset it would commit is of the log before
        self._forget(tp)

    def lag(self, tp: TP) -> int | None:
        """Offsets of a partition that are still to be read or finished; None before any fetch.

        Not every offset is a record: what a group is to read next may be past retention, and a log
        may end with what ended a transaction. So where nothing that came is unfinished, all before
        the next fetch counts as done.
        """
        position, end = self._thread.reach(tp)
        if end is None:
            return None
        committed = self._committed_offset[tp] or 0
        first, after_last = self._came.get(tp, (0, 0))
        if committed < after_last:
            done = max(committed, first)
        else:
            done = committed if position is None else position
        return max(0, end - done)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Drain and commit before what is acknowledged is forgotten, which Faust does first.

        Else up to a commit interval of finished work would be done again after every rebalance.
        """
        self._get_active_partitions().difference_update(revoked)
        self._paused_partitions.difference_update(revoked)
        await self._on_partitions_revoked(revoked)
        for tp in revoked:
            self._forget(tp)

    def _forget(self, tp: TP) -> None:
        for kept in (
            self._acked,
            self._acked_index,
            self._read_offset,
            self._committed_offset,
            self._came,
        ):
            kept.pop(tp, None)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes left by compaction and transactions need no book-keeping: chunks span them."""

    def _new_offset(self, tp: TP) -> int | None:
        """The next offset to read; right only because chunks are acknowledged in order."""
        acked = self._acked[tp]
        if not acked:
            return None
        last = max(acked)
        self._acked_index[tp].difference_update(acked)
        acked.clear()
        return int(last) + 1


class ChunkTransport(driver.Transport):  # type: ignore[misc]  # faust is untyped here
    Consumer: ClassVar[type] = ChunkConsumer


class NotInGroupError(Exception):
    """The group has not taken this worker yet."""


async def start_reading(app: faust.App, outage: Callable[[], Awaitable[str]]) -> None:
    """Return when the app is in its group, however long that takes; StartError where it never is.

    Faust waits for the group and does not fetch meanwhile, so it would wait for ever. outage says
    what is wrong with Kafka, or nothing.
    """
    starting = asyncio.ensure_future(app.start())
    saying = asyncio.create_task(_say_why(app.conf.id, outage), name="waiting for the group")
    try:
        while not (await asyncio.wait({starting}, timeout=LOOK_S))[0]:
            if error := app.consumer._thread.refusal():  # noqa: SLF001
                starting.cancel()
                raise StartError(
                    f"the group {app.conf.id} does not take this worker ({error}); see that its "
                    "user has Read on the group (docs/security.md), and that nothing else uses "
                    "kafka.group"
                )
        await starting
    finally:
        await end(saying)


async def _say_why(group: str, outage: Callable[[], Awaitable[str]]) -> None:
    """As long as it waits, in the log and where health is asked."""
    await asyncio.sleep(SAID_AFTER_S)
    backoff = Backoff(f"waiting for the group {group}", logger)
    while True:
        await backoff.wait(NotInGroupError(await outage() or FORMS))


def read_lags(app: faust.App) -> dict[tuple[str, int], int]:
    """By (topic, partition) of this worker: how far it is behind, where that is known."""
    consumer = app.consumer
    lags = {(tp.topic, tp.partition): consumer.lag(tp) for tp in consumer.assignment()}
    return {place: lag for place, lag in lags.items() if lag is not None}


def credentials(kafka: Mapping[str, Any]) -> faust.auth.Credentials | None:
    """Faust's own way to say what stream.connections.clients says to aiokafka's clients."""
    context = kafka.get("ssl_context")
    if mechanism := kafka.get("sasl_mechanism"):
        return faust.SASLCredentials(
            username=kafka["sasl_plain_username"],
            password=kafka["sasl_plain_password"],
            mechanism=mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None


def faust_app(settings: Settings, kafka: Mapping[str, Any], folder: str) -> faust.App:
    """Not started, without agents. kafka are aiokafka's arguments, folder is Faust's own."""
    app = faust.App(
        settings.kafka.group,
        broker=[f"kafka://{address}" for address in settings.kafka.bootstrap.split(",")],
        broker_credentials=credentials(kafka),
        datadir=folder,
        web_enabled=False,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        stream_wait_empty=True,
        stream_buffer_maxsize=STREAM_BUFFER_CHUNKS,
        broker_max_poll_records=settings.worker.max_poll_records,
        broker_session_timeout=settings.kafka.session_timeout_s,
        broker_heartbeat_interval=settings.kafka.session_timeout_s / 5,
        broker_commit_interval=1.0,
        consumer_metadata_max_age_ms=NOTICED_MS,
    )
    feed_in_chunks(app)
    return app


def feed_in_chunks(app: faust.App) -> None:
    """Make an app read through ChunkConsumer. Call it before the app has topics or agents."""
    app.transport = ChunkTransport(app.conf.broker_consumer, app)
