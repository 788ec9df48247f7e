"""Reading the dead-letter topic."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from stream.connection import StartError, kafka_arguments, kafka_fault
from stream.records import DeadLetter
from stream.settings import Settings

POLL_MS = 1_000


async def list_dead_letters(settings: Settings, *, limit: int) -> list[DeadLetter]:
    """The newest dead letters, at most limit, oldest first. Raises StartError without Kafka."""
    topic = settings.topics.dead_letter
    consumer = AIOKafkaConsumer(
        topic,
        **kafka_arguments(settings.kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=8 * 1024 * 1024,
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        raise StartError(
            f"Kafka at {settings.kafka.bootstrap} can't be reached "
            f"{await kafka_fault(settings.kafka, error)}"
        ) from error
    try:
        places = consumer.assignment()
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, max(begins[place], ends[place] - limit))
        letters: list[DeadLetter] = []
        unread = {place for place in places if ends[place] > begins[place]}
        while unread:
            for place, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                letters.extend(DeadLetter.decode(record.value) for record in records)
                if records[-1].offset >= ends[place] - 1:
                    unread.discard(place)
            for place in list(unread):
                # Holes at the end of a partition never arrive as records.
                if await consumer.position(place) >= ends[place]:
                    unread.discard(place)
        return sorted(letters, key=lambda letter: letter.time)[-limit:]
    finally:
        await consumer.stop()
