"""How far the workers are behind in the source topics: what is written, less what is committed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.connection import kafka_arguments
from stream.operations.topic_log import places_of
from stream.settings import Settings

ANSWER_S = 8.0
STOP_S = 2.0


class Lag(msgspec.Struct, frozen=True):
    """Of one source topic: records after the group's committed offsets; None before any commit."""

    topic: str
    records: int | None
    end: int


async def lag_of(settings: Settings) -> list[Lag]:
    """Of each source topic. Raises TimeoutError, KafkaError, StartError or OSError."""
    async with asyncio.timeout(ANSWER_S):
        names = [source.topic for source in settings.sources]
        places = await places_of(settings, *names)
        ends, committed = await _offsets(settings, places)
    return [
        Lag(
            name,
            _behind([place for place in places if place.topic == name], ends, committed),
            sum(end for place, end in ends.items() if place.topic == name),
        )
        for name in names
    ]


async def _offsets(
    settings: Settings, places: Sequence[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int | None]]:
    """Where partitions end, and what the workers' group has committed of them."""
    if not places:
        return {}, {}
    consumer = AIOKafkaConsumer(
        group_id=settings.kafka.group,
        enable_auto_commit=False,
        **kafka_arguments(settings.kafka),
    )
    try:
        await consumer.start()
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
        return ends, {place: await consumer.committed(place) for place in places}
    finally:
        # A stop that hangs would keep all who wait for the answer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await consumer.stop()


def _behind(
    places: Sequence[TopicPartition],
    ends: dict[TopicPartition, int],
    committed: dict[TopicPartition, int | None],
) -> int | None:
    """A partition without a commit counts as read up to its end if it is empty, else as unread."""
    if all(committed[place] is None and ends[place] for place in places):
        return None
    return sum(ends[place] - (committed[place] or 0) for place in places)
