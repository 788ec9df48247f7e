"""One micro-batch out to Kafka: keyed batches, sent together, confirmed before anyone is told.

A batch that fails is sent again until Kafka has it; what can't be sent keeps its source records
unacknowledged, so an outage delays and never loses. Only a record that its topic will never take
ends the sending.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.partitioner import DefaultPartitioner

from stream.patience import Patience

# Large enough for a dead letter that wraps the largest record (see ingest/dead_letter.py).
MAX_REQUEST_BYTES = 8 * 1024 * 1024
MAX_BATCH_BYTES = 256 * 1024

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


class Outbox:
    """Sends records in the order given within each partition. start() and stop() frame its use."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        """kafka: what stream.connection.kafka_arguments gives."""
        self._kafka = kafka
        self._partitioner = DefaultPartitioner()
        self._turn = count()

    async def start(self) -> None:
        self._producer = AIOKafkaProducer(
            **self._kafka,
            enable_idempotence=True,
            acks="all",
            compression_type="zstd",
            max_batch_size=MAX_BATCH_BYTES,
            # Batches arrive whole; an idempotent producer retries inside this time without
            # repeating or reordering, which a send of our own could not promise.
            request_timeout_ms=120_000,
        )
        await self._producer.start()

    async def stop(self) -> None:
        await self._producer.stop()

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
        patience = Patience(f"Kafka does not name the partitions of {topic}", logger)
        while True:
            try:
                if found := await self._producer.partitions_for(topic):
                    return sorted(found)
                cause: Exception = LookupError("no partitions; does the topic exist?")
            except (KafkaError, OSError) as error:
                cause = error
            await patience.wait(cause)

    async def _send_partition(self, topic: str, partition: int, records: list[Outgoing]) -> None:
        patience = Patience(f"Kafka does not confirm records on {topic}", logger)
        sent = 0
        most = len(records)
        while sent < len(records):
            batch = self._producer.create_batch()
            end = sent
            # The first record of a batch may be of any size.
            while end < min(len(records), sent + most) and (
                batch.append(
                    key=records[end].key,
                    value=records[end].value,
                    timestamp=records[end].timestamp_ms,
                    headers=list(records[end].headers),
                )
                is not None
            ):
                end += 1
            try:
                confirmed = await self._producer.send_batch(batch, topic, partition=partition)
                await confirmed
            except MessageSizeTooLargeError:
                # A broker bounds whole batches, so those of a topic with little room are halved.
                most = (end - sent) // 2
                if not most:
                    raise _too_large(topic, records[sent]) from None
                continue
            except (KafkaError, OSError) as error:
                await patience.wait(error)
                continue
            sent = end


def _too_large(topic: str, record: Outgoing) -> TooLargeForTopicError:
    size = len(record.key or b"") + len(record.value or b"")
    return TooLargeForTopicError(
        f"topic {topic} does not take a record of {size} bytes; set max.message.bytes of that "
        f"topic to {MAX_REQUEST_BYTES}"
    )
