"""Reading the topic of alert transitions: the history that outlasts Redis."""

from __future__ import annotations

from datetime import datetime

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from stream.connection import StartError, kafka_arguments
from stream.records import Alert, decode_alert
from stream.settings import Settings

POLL_MS = 1_000


async def read_alerts(settings: Settings, *, since: datetime, until: datetime) -> list[Alert]:
    """Alerts with a transition written in [since, until), each as its last one left it.

    In the order of their first event. Raises StartError without Kafka.
    """
    consumer = AIOKafkaConsumer(
        settings.topics.alerts,
        **kafka_arguments(settings.kafka),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        raise StartError(
            f"Kafka at {settings.kafka.bootstrap} can't be reached ({error}); "
            "start it, or set kafka.bootstrap (BELLWETHER_KAFKA__BOOTSTRAP)"
        ) from error
    until_ms = round(until.timestamp() * 1000)
    try:
        places = consumer.assignment()
        ends = await consumer.end_offsets(places)
        begin = round(since.timestamp() * 1000)
        starts = await consumer.offsets_for_times(dict.fromkeys(places, begin))
        for place in places:
            consumer.seek(place, starts[place].offset if starts[place] else ends[place])
        latest: dict[str, Alert] = {}
        unread = {place for place in places if starts[place]}
        while unread:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    if record.timestamp < until_ms:
                        alert = decode_alert(record.value)
                        if alert.id not in latest or alert.sequence > latest[alert.id].sequence:
                            latest[alert.id] = alert
            for place in list(unread):
                if await consumer.position(place) >= ends[place]:
                    unread.discard(place)
        return sorted(latest.values(), key=lambda alert: (alert.first_seen, alert.id))
    finally:
        await consumer.stop()
