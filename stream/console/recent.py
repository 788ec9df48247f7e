"""The last records of our topics, kept in memory and followed: what pages show of Kafka.

Bounded by number; read anew when the console starts, so nothing is lost with it.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from models.registry import CHAMPION, Alias
from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments, stop_consumer
from stream.connections.topic_log import places_of
from stream.operations.ledger import Entry, Sign
from stream.records import (
    DECODE_ERRORS,
    Feedback,
    Scored,
    decode_feedback,
    decode_routed_ticket,
    decode_scored,
)
from stream.runtime.backoff import Backoff
from stream.runtime.errors import StartError
from stream.runtime.tasks import end

logger = logging.getLogger(__name__)

KEPT_SCORED = 5_000
KEPT_TICKETS = 500
KEPT_FEEDBACK = 5_000
KEPT_MODELS = 100
KEPT_LEDGER = 2_000
"""Keys: of a worker one sign of life and an entry for each change of its model or rules."""
POLL_MS = 300
MAX_POLL_RECORDS = 500
LOOK_S = 5.0
"""How often the ends are asked for, which is how the loss of Kafka is noticed."""
ANSWER_S = 5.0


class Seen(NamedTuple):
    """A record and when Kafka took it, epoch milliseconds."""

    at_ms: int
    record: Any


def rate(ages_s: Sequence[float], *, window_s: float, most: int) -> float:
    """A second's share of what is not older than the window; ages are of what is kept.

    Where more came than the most that are kept, these cover a part of the window only.
    """
    within = sum(age < window_s for age in ages_s)
    covered_s = max(1.0, *ages_s) if within >= most else window_s
    return within / covered_s


def latest(kept: Iterable[Seen], most: int) -> list[Seen]:
    """By Kafka's clock: what was read last when the console started is one partition's."""
    return sorted(kept, key=lambda seen: seen.at_ms)[-most:]


class _Topic:
    """The last records of a topic; of a compacted one, read as a whole, the last of each key.

    Last by Kafka's clock: partitions are read one after the other when the console starts.
    """

    def __init__(
        self, decode: Callable[[bytes], Any], keep: int, *, compacted: bool = False
    ) -> None:
        self.decode = decode
        self._keep = keep
        self._compacted = compacted
        self._records: OrderedDict[Hashable, Seen] = OrderedDict()
        self._number = 0
        # Times and numbers of what is kept, the oldest first; of a compacted topic none.
        self._ages: list[tuple[int, int]] = []

    @property
    def records(self) -> list[Seen]:
        """In the order in which they were read, which is that of each partition."""
        return list(self._records.values())

    def add(self, key: bytes | None, seen: Seen) -> None:
        self._number += 1
        if self._compacted:
            self._records[key] = seen
            self._records.move_to_end(key)
            if len(self._records) > self._keep:
                self._records.popitem(last=False)
            return
        self._records[self._number] = seen
        heapq.heappush(self._ages, (seen.at_ms, self._number))
        if len(self._records) > self._keep:
            _, oldest = heapq.heappop(self._ages)
            del self._records[oldest]

    def begin(self, first: int, end: int) -> int:
        """The offset to read from, of a partition that holds [first, end)."""
        return first if self._compacted else max(first, end - self._keep)


class Recent:
    """start() and stop() frame its use. fault says why Kafka is away, empty while it answers."""

    def __init__(self, settings: Settings, heard_of_model: Callable[[Alias], None]) -> None:
        """heard_of_model is told of every announcement made while we follow."""
        self._settings = settings
        self._heard_of_model = heard_of_model
        names = settings.topics
        self._topics: dict[str, _Topic] = {
            names.scored: _Topic(decode_scored, KEPT_SCORED),
            names.review: _Topic(decode_routed_ticket, KEPT_TICKETS),
            names.feedback: _Topic(decode_feedback, KEPT_FEEDBACK),
            names.models: _Topic(msgspec.json.Decoder(Alias).decode, KEPT_MODELS),
            names.ledger: _Topic(
                msgspec.json.Decoder(Entry | Sign).decode, KEPT_LEDGER, compacted=True
            ),
            **{
                names.queue(queue.name): _Topic(decode_routed_ticket, KEPT_TICKETS)
                for queue in settings.queues
            },
        }
        self._positions: dict[TopicPartition, int] = {}
        self.fault = "not connected yet"
        self.caught_up = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._follow(), name="console-topics")

    async def stop(self) -> None:
        await end(self._task)

    @property
    def scored(self) -> list[Scored]:
        return [seen.record for seen in self._topics[self._settings.topics.scored].records]

    @property
    def feedback(self) -> list[Feedback]:
        return [seen.record for seen in self._topics[self._settings.topics.feedback].records]

    @property
    def moves(self) -> list[Alias]:
        """Of the champion, not of the challenger in shadow."""
        records = self._topics[self._settings.topics.models].records
        return [seen.record for seen in records if seen.record.alias == CHAMPION]

    @property
    def ledger(self) -> list[Entry | Sign]:
        """What workers judge by, and their latest signs of life."""
        return [seen.record for seen in self._topics[self._settings.topics.ledger].records]

    def taken(self, topic: str) -> list[Seen]:
        """The kept records of one of our topics with the times Kafka took them."""
        return self._topics[topic].records

    async def _follow(self) -> None:
        backoff = Backoff("Kafka does not give our topics", logger)
        while True:
            consumer = AIOKafkaConsumer(
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",  # as the trainer reads labels
                max_poll_records=MAX_POLL_RECORDS,
                # How soon it knows of partitions that were added to our topics.
                metadata_max_age_ms=round(LOOK_S * 1000),
                **kafka_arguments(self._settings.kafka),
            )
            try:
                await consumer.start()
                await self._read(consumer)
            except (KafkaError, StartError, OSError, TimeoutError) as error:
                self.fault = f"{type(error).__name__}: {error}"
                await backoff.wait(error)
            finally:
                await stop_consumer(consumer)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        """Follow until Kafka no longer answers, which raises."""
        loop = asyncio.get_running_loop()
        ends: Mapping[TopicPartition, int] = {}
        look_at = 0.0
        while True:
            if loop.time() >= look_at:
                async with asyncio.timeout(ANSWER_S):
                    ends = await self._look(consumer)
                self.fault = ""
                look_at = loop.time() + LOOK_S
            if not ends:
                await asyncio.sleep(POLL_MS / 1000)
                self.caught_up = True
                continue
            for place, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                self._positions[place] = records[-1].offset + 1
                self._take(place.topic, records)
            if not self.caught_up:
                self.caught_up = all(
                    [await consumer.position(place) >= end for place, end in ends.items()]
                )

    async def _look(self, consumer: AIOKafkaConsumer) -> Mapping[TopicPartition, int]:
        """Where our topics end by now; new partitions are read from their last records on."""
        kept = consumer.assignment()
        if fresh := await self._places(consumer) - kept:
            positions = {place: await consumer.position(place) for place in kept}
            consumer.assign([*kept, *fresh])
            for place, position in positions.items():
                consumer.seek(place, position)
            await self._seek(consumer, fresh)
        places = consumer.assignment()
        ends: Mapping[TopicPartition, int] = await consumer.end_offsets(places) if places else {}
        return ends

    async def _places(self, consumer: AIOKafkaConsumer) -> set[TopicPartition]:
        """All there are of our topics; of those it reads, the consumer hears of added ones."""
        read = {place.topic for place in consumer.assignment()}
        places = {
            TopicPartition(name, partition)
            for name in read
            for partition in consumer.partitions_for_topic(name) or ()
        }
        if missing := sorted(self._topics.keys() - read):
            places.update(await places_of(self._settings, *missing))
        return places

    async def _seek(self, consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> None:
        places = list(places)
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            newest = self._topics[place.topic].begin(begins[place], ends[place])
            known = self._positions.get(place, newest)
            consumer.seek(place, known if newest <= known <= ends[place] else newest)

    def _take(self, name: str, records: Iterable[ConsumerRecord[bytes, bytes]]) -> None:
        topic = self._topics[name]
        for record in records:
            try:
                decoded = topic.decode(record.value or b"")
            except DECODE_ERRORS:
                continue  # anyone may write there; the trainer and dead letters say what is refused
            topic.add(record.key, Seen(record.timestamp, decoded))
            if name == self._settings.topics.models and self.caught_up:
                self._heard_of_model(decoded)
