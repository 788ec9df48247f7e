"""Reads a topic once, from a time on or its last records, up to where it ends now."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments, kafka_fault, stop_consumer
from stream.runtime.errors import StartError

POLL_MS = 1_000
MAX_RECORDS = 500
# Of one fetch: a dead letter may be as large as the largest request.
MAX_FETCH_BYTES = 8 * 1024 * 1024


async def read_log(
    settings: Settings, topic: str, *, since: datetime | None = None, last: int | None = None
) -> AsyncIterator[ConsumerRecord[bytes, bytes]]:
    """Every record there is now, in order within each partition; none if there is no such topic.

    since skips what Kafka took earlier; last skips all but so many offsets of each partition.
    Raises StartError without Kafka.
    """
    places = await places_of(settings, topic)
    if not places:
        return
    consumer = AIOKafkaConsumer(
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=MAX_FETCH_BYTES,
        max_poll_records=MAX_RECORDS,
        **kafka_arguments(settings.kafka),
    )
    try:
        await consumer.start()
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        begins, unsought = await _begins(consumer, places, ends, since)
        for place in places:
            begin = begins[place] if last is None else max(begins[place], ends[place] - last)
            consumer.seek(place, begin)
        unread = {place for place in places if ends[place] > begins[place]}
        while unread:
            for place, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                for record in records:
                    if place in unsought and record.timestamp < unsought[place]:
                        continue
                    unsought.pop(place, None)
                    if record.offset < ends[place]:
                        yield record
            # Holes at the end of a partition never arrive as records, but are passed over.
            unread = {place for place in unread if await consumer.position(place) < ends[place]}
    finally:
        await stop_consumer(consumer)


async def places_of(settings: Settings, *topics: str) -> list[TopicPartition]:
    """The partitions of those topics that exist; none is made. Raises StartError without Kafka."""
    admin = AIOKafkaAdminClient(**kafka_arguments(settings.kafka))
    try:
        await admin.start()
        # Asking for a topic by its name makes it on a broker that creates topics unasked.
        there = set(await admin.list_topics())
        known = [topic for topic in topics if topic in there]
        described = await admin.describe_topics(known) if known else []
        return [
            TopicPartition(topic["topic"], one["partition"])
            for topic in described
            for one in topic["partitions"]
        ]
    except (KafkaError, OSError) as error:
        raise StartError(
            f"Kafka at {settings.kafka.bootstrap} can't be reached "
            f"{await kafka_fault(settings.kafka, error)}"
        ) from error
    finally:
        await admin.close()


async def _begins(
    consumer: AIOKafkaConsumer,
    places: list[TopicPartition],
    ends: dict[TopicPartition, int],
    since: datetime | None,
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Where to begin, and the partitions whose first record of that time (in ms) is to be looked
    for among all, as the broker does not find it.
    """
    begins: dict[TopicPartition, int] = await consumer.beginning_offsets(places)
    if since is None:
        return begins, {}
    # Kafka knows no time before 1970.
    at_ms = max(0, round(since.timestamp() * 1000))
    found = await _offsets_at(consumer, places, at_ms)
    missing = [place for place in places if place not in found and ends[place] > begins[place]]
    # A broker that looks offsets up by time knows one from 1970 on wherever there are records.
    known = await _offsets_at(consumer, missing, 0)
    unsought = {place: at_ms for place in missing if place not in known}
    return {
        place: begins[place] if place in unsought else found.get(place, ends[place])
        for place in places
    }, unsought


async def _offsets_at(
    consumer: AIOKafkaConsumer, places: list[TopicPartition], at_ms: int
) -> dict[TopicPartition, int]:
    """Of each partition the first offset of that time or later, where the broker knows one."""
    if not places:
        return {}
    found: dict[TopicPartition, Any] = await consumer.offsets_for_times(
        dict.fromkeys(places, at_ms)
    )
    return {place: one.offset for place, one in found.items() if one}
