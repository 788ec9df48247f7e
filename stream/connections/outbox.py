"""One micro-batch out to Kafka: keyed batches, sent together, confirmed before anyone is told.

A batch that fails is sent again until Kafka has it; what can't be sent keeps its source records
unacknowledged, so an outage delays and never loses. Only a record that its topic will never take
ends the sending.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from stream.config.connections import Kafka
from stream.connections.clients import kafka_arguments
from stream.runtime.backoff import Backoff

# Large enough for a dead letter that wraps the largest record (see ingest/dead_letter.py).
MAX_REQUEST_BYTES = 8 * 1024 * 1024
MAX_BATCH_BYTES = 256 * 1024
GROW_AFTER = 1_000
"""Confirmed batches after which a topic that refused one is tried with larger ones again."""

logger = logging.getLogger(__name__)


class Outgoing(NamedTuple):
    """value None is a tombstone; without timestamp_ms the record's time is that of sending."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp_ms: int | None = None


class TooLargeForTopicError(Exception):
    """No retry sends this record; the message names its topic and size, and what to set."""


class RecordSink(Protocol):
    """Whatever takes records and returns when they are safe. Raises TooLargeForTopicError."""

    async def send(self, records: Sequence[Outgoing]) -> None: ...


@contextlib.asynccontextmanager
async def open_outbox(kafka: Kafka) -> AsyncIterator[Outbox]:
    """An outbox while the context lasts. Raises SettingsError; KafkaError without brokers."""
    outbox = Outbox(kafka_arguments(kafka))
    try:
        await outbox.start()
        yield outbox
    finally:
        await outbox.stop()


class _Link:
    """A producer, and how many are sending through it."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer
        self.uses = 0


class Outbox:
    """Sends records in the order given within each partition. start() and stop() frame its use."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        """kafka: what stream.connections.clients.kafka_arguments gives."""
        self._kafka = kafka
        self._partitioner = DefaultPartitioner()
        self._turn = count()
        # By topic: bytes before compression to which a batch of several records is filled.
        self._room: defaultdict[str, int] = defaultdict(lambda: MAX_BATCH_BYTES)
        # By topic that refused a batch: those confirmed since.
        self._confirmed: dict[str, int] = {}
        self._renewing = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._link = _Link(self._new_producer())
        await self._link.producer.start()

    async def stop(self) -> None:
        await asyncio.gather(self._link.producer.stop(), *self._leaving)

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._kafka,
            enable_idempotence=True,
            acks="all",
            compression_type="zstd",
            max_batch_size=MAX_BATCH_BYTES,
            # Batches arrive whole; an idempotent producer retries inside this time without
            # repeating or reordering, which a send of our own could not promise.
            request_timeout_ms=120_000,
        )

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[_Link]:
        link = self._link
        link.uses += 1
        try:
            yield link
        finally:
            link.uses -= 1
            self._part_with(link)

    def _part_with(self, link: _Link) -> None:
        """Close a replaced producer once nobody uses it: it never sends what it gets while closing.

        In the background, as it first sends what a cancelled send has left in it.
        """
        if link is not self._link and not link.uses:
            leaving = asyncio.create_task(link.producer.stop(), name="replaced-producer")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def _renew(self, failed: _Link) -> None:
        """Replace the producer that gave up a batch, unless another send has done so.

        The batch's records have had their sequence numbers, so whatever that producer sends next
        to the partition leaves a gap, and the broker refuses it for ever. A new one counts anew.
        """
        async with self._renewing:
            if self._link is not failed:
                return
            fresh = _Link(self._new_producer())
            # Without brokers the old one stays; the next try fails then too, and says why.
            with contextlib.suppress(KafkaError, OSError):
                async with contextlib.AsyncExitStack() as undo:
                    undo.push_async_callback(fresh.producer.stop)
                    await fresh.producer.start()
                    undo.pop_all()
                self._link = fresh
                self._part_with(failed)

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return when every record is confirmed by all in-sync replicas.

        Never gives up, but for a record that is too large: TooLargeForTopicError.
        """
        places = await self._place(records)
        await asyncio.gather(
            *(
                self._send_partition(topic, partition, batch)
                for (topic, partition), batch in places.items()
            )
        )

    async def _place(self, records: Sequence[Outgoing]) -> dict[tuple[str, int], list[Outgoing]]:
        partitions: dict[str, list[int]] = {}
        for topic in {record.topic for record in records}:
            partitions[topic] = await self._partitions(topic)
        # Records without a key go to one partition a call, in turn: fewer, fuller batches.
        turn = next(self._turn)
        places: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
        for record in records:
            choice = partitions[record.topic]
            partition = (
                choice[turn % len(choice)]
                if record.key is None
                else self._partitioner(record.key, choice, choice)
            )
            places[record.topic, partition].append(record)
        return places

    async def _partitions(self, topic: str) -> list[int]:
        backoff = Backoff(f"Kafka does not name the partitions of {topic}", logger)
        while True:
            try:
                with self._in_use() as link:
                    found = await link.producer.partitions_for(topic)
                if found:
                    return sorted(found)
                cause: Exception = LookupError("no partitions; does the topic exist?")
            except (KafkaError, OSError) as error:
                cause = error
            await backoff.wait(cause)

    async def _send_partition(self, topic: str, partition: int, records: list[Outgoing]) -> None:
        backoff = Backoff(f"Kafka does not confirm records on {topic}", logger)
        sent = 0
        while sent < len(records):
            try:
                with self._in_use() as link:
                    batch = link.producer.create_batch()
                    end = _fill(batch, records, sent, self._room[topic])
                    size = batch.size()
                    confirmed = await link.producer.send_batch(batch, topic, partition=partition)
                    await confirmed
            except (MessageSizeTooLargeError, RecordListTooLargeError):
                await self._renew(link)
                if end == sent + 1:
                    raise _too_large(topic, records[sent]) from None
                # A broker bounds whole batches. Kept, as each refusal costs a producer.
                self._room[topic] = min(self._room[topic], size // 2)
                self._confirmed[topic] = 0
                logger.info("topic %s refused a batch of %d bytes; halving", topic, size)
            except (KafkaError, OSError) as error:
                await backoff.wait(error)
                await self._renew(link)
            else:
                sent = end
                self._let_grow(topic)

    def _let_grow(self, topic: str) -> None:
        """Somebody may have given the topic more room since."""
        if topic in self._confirmed:
            self._confirmed[topic] += 1
            if self._confirmed[topic] >= GROW_AFTER:
                self._confirmed[topic] = 0
                self._room[topic] = min(self._room[topic] * 2, MAX_BATCH_BYTES)


def _fill(batch: BatchBuilder, records: Sequence[Outgoing], start: int, room: int) -> int:
    """Records from start on, up to the place returned. The first one may be of any size."""
    end = start
    while (
        end < len(records)
        and (end == start or batch.size() + _size(records[end]) <= room)
        and batch.append(
            key=records[end].key,
            value=records[end].value,
            timestamp=records[end].timestamp_ms,
            headers=list(records[end].headers),
        )
        is not None
    ):
        end += 1
    return end


def _size(record: Outgoing) -> int:
    headers = sum(len(name) + len(content) for name, content in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def _too_large(topic: str, record: Outgoing) -> TooLargeForTopicError:
    return TooLargeForTopicError(
        f"topic {topic} does not take a record of {_size(record)} bytes; set max.message.bytes of "
        f"that topic to {MAX_REQUEST_BYTES}, and segment.bytes to no less"
    )
