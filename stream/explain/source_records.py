"""Reads single records of a source topic again, by partition and offset."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments, stop_consumer
from stream.connections.topic_log import MAX_FETCH_BYTES, places_of
from stream.records import Origin, RawRecord

READ_DEADLINE_S = 10.0


async def read_again(settings: Settings, origins: Iterable[Origin]) -> dict[Origin, RawRecord]:
    """The records that are still in the log. Raises StartError without Kafka."""
    origins = list(origins)
    places = {
        place
        for topic in {origin.topic for origin in origins}
        for place in await places_of(settings, topic)
    }
    consumer = AIOKafkaConsumer(
        enable_auto_commit=False,
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
        **kafka_arguments(settings.kafka),
    )
    found: dict[Origin, RawRecord] = {}
    try:
        await consumer.start()
        for origin in origins:
            place = TopicPartition(origin.topic, origin.partition)
            if place not in places:
                continue
            consumer.assign([place])
            begin = (await consumer.beginning_offsets([place]))[place]
            end = (await consumer.end_offsets([place]))[place]
            if not begin <= origin.offset < end:
                continue
            consumer.seek(place, origin.offset)
            try:
                record = await asyncio.wait_for(consumer.getone(place), READ_DEADLINE_S)
            except TimeoutError:
                continue
            # After compaction the next record that is left comes in its place.
            if record.offset == origin.offset:
                found[origin] = record
    finally:
        await stop_consumer(consumer)
    return found
