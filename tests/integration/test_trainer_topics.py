"""What the trainer reads, on a real Kafka whose topics get more partitions meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from stream.records import encode
from tests.fakes import scored
from trainer.labels.label_log import LabelLog
from trainer.topics import Reader

DEADLINE_S = 60.0


@pytest.mark.kafka
async def test_partitions_that_are_added_are_read_and_the_others_not_again(
    kafka: str, tmp_path: Path
) -> None:
    name = f"added-{uuid.uuid4().hex[:8]}"
    topics = {one: f"{name}-{one}" for one in ("feedback", "scored", "shadow")}
    admin = AdminClient({"bootstrap.servers": kafka})
    made = admin.create_topics([NewTopic(one, 1, 1) for one in topics.values()])
    for future in made.values():
        future.result(DEADLINE_S)
    reader = Reader({"bootstrap_servers": kafka, "metadata_max_age_ms": 300}, **topics)
    log = LabelLog(tmp_path / "labels.sqlite", remember_events=1_000)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, metadata_max_age_ms=300)
    await producer.start()
    await reader.start(log)
    seen: list[str] = []

    async def read_until(event_id: str) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while event_id not in seen:
                seen.extend(event.id for event in (await reader.poll([])).events)

    async def send(event_id: str, partition: int) -> None:
        content = encode(scored(id=event_id))
        async with asyncio.timeout(DEADLINE_S):
            # Until it has heard of the new partition.
            while partition not in await producer.partitions_for(topics["scored"]):
                await asyncio.sleep(0.05)
            await producer.send_and_wait(topics["scored"], content, partition=partition)

    try:
        await send("first", 0)
        await read_until("first")
        for future in admin.create_partitions([NewPartitions(topics["scored"], 2)]).values():
            future.result(DEADLINE_S)
        await send("second", 1)
        await read_until("second")
        await send("third", 0)
        await read_until("third")
    finally:
        await reader.stop()
        await producer.stop()
        log.close()
    assert seen == ["first", "second", "third"]
