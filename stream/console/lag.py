"""The lag of the workers' consumer group in the source topics: end offsets less committed ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments, stop_consumer
from stream.connections.topic_log import places_of

ANSWER_S = 8.0


class Lag(msgspec.Struct, frozen=True):
    """Of one source topic: offsets after those the group has committed; None before any commit.

    What retention took away is not counted, what ended a transaction is: only whoever reads it
    knows that it is no record.
    """

    topic: str
    records: int | None
    end: int


async def lag_of(settings: Settings) -> list[Lag]:
    """Of each source topic. Raises TimeoutError, KafkaError, StartError or OSError."""
    async with asyncio.timeout(ANSWER_S):
        names = [source.topic for source in settings.sources]
        places = await places_of(settings, *names)
        held = await _held(settings, places)
    by_topic = {name: [one for place, one in held.items() if place.topic == name] for name in names}
    return [Lag(name, _behind(of), sum(one.end for one in of)) for name, of in by_topic.items()]


class _Held(NamedTuple):
    """What a partition holds: [begin, end), and what the workers' group has committed of it."""

    begin: int
    end: int
    committed: int | None


async def _held(
    settings: Settings, places: Sequence[TopicPartition]
) -> dict[TopicPartition, _Held]:
    if not places:
        return {}
    consumer = AIOKafkaConsumer(
        group_id=settings.kafka.group,
        enable_auto_commit=False,
        isolation_level="read_committed",  # as workers read, see ingest/chunks.py
        **kafka_arguments(settings.kafka),
    )
    try:
        await consumer.start()
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        return {
            place: _Held(begins[place], ends[place], await consumer.committed(place))
            for place in places
        }
    finally:
        await stop_consumer(consumer)


def _behind(partitions: Sequence[_Held]) -> int | None:
    """A partition without a commit counts as read up to its end if it is empty, else as unread."""
    if all(one.committed is None and one.end > one.begin for one in partitions):
        return None
    return sum(max(0, one.end - max(one.begin, one.committed or 0)) for one in partitions)
