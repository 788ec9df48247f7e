"""Reading single records of a source topic again, by where they stood."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.connection import StartError, kafka_arguments, kafka_fault
from stream.records import Origin
from stream.settings import Settings
from stream.sources import RawRecord
from stream.topic_log import MAX_FETCH_BYTES

READ_DEADLINE_S = 10.0


async def read_again(settings: Settings, origins: Iterable[Origin]) -> dict[Origin, RawRecord]:
    """The records that are still in the log. Raises StartError without Kafka."""
    consumer = AIOKafkaConsumer(
        enable_auto_commit=False,
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
        **kafka_arguments(settings.kafka),
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        fault = await kafka_fault(settings.kafka, error)
        raise StartError(f"Kafka at {settings.kafka.bootstrap} can't be reached {fault}") from error
    found: dict[Origin, RawRecord] = {}
    try:
        for origin in origins:
            place = TopicPartition(origin.topic, origin.partition)
            if origin.partition not in (await _partitions(consumer, origin.topic)):
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
        await consumer.stop()
    return found


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    if topic not in await consumer.topics():
        return set()
    return set(consumer.partitions_for_topic(topic) or ())
