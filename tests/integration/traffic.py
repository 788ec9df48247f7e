"""Records to and from a worker that a test runs on a stack."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, open_outbox
from stream.worker.app import Worker
from tests.until import until

DEADLINE_S = 60.0


async def settle(worker: Worker, records: int) -> None:
    """Return when so many records of this worker are confirmed or refused."""
    await until(lambda: worker.telemetry.settled >= records, DEADLINE_S)


async def publish(settings: Settings, place: int, *values: bytes | None) -> None:
    """Return when the source at that place has them, each with a key of its own."""
    topic = settings.sources[place].topic
    records = [Outgoing(topic, str(n).encode(), value) for n, value in enumerate(values)]
    async with open_outbox(settings.kafka) as outbox:
        await outbox.send(records)


async def read(settings: Settings, topic: str, count: int) -> list[dict[str, Any]]:
    """The records of a topic from its beginning, as soon as there are so many."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: list[dict[str, Any]] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while len(found) < count:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(orjson.loads(record.value) for record in records)
    finally:
        await consumer.stop()
    return found
