"""What the trainer reads, on a real Kafka whose topics are changed or made anew meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import KafkaError, KafkaException
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


@pytest.mark.kafka
@pytest.mark.parametrize("restarted", [True, False])
async def test_a_topic_that_is_made_anew_is_read_from_its_beginning(
    kafka: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, restarted: bool
) -> None:
    name = f"anew-{uuid.uuid4().hex[:8]}"
    topics = {one: f"{name}-{one}" for one in ("feedback", "scored", "shadow")}
    place = topics["scored"], 0
    log = LabelLog(tmp_path / "labels.sqlite", remember_events=1_000)

    async def begin() -> Reader:
        made = Reader({"bootstrap_servers": kafka, "metadata_max_age_ms": 300}, **topics)
        await made.start(log)
        return made

    async def send(*events: str) -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            for event in events:
                content = encode(scored(id=event))
                await producer.send_and_wait(topics["scored"], content, partition=0)

    async def read_until(event_id: str) -> None:
        seen: list[str] = []
        async with asyncio.timeout(DEADLINE_S):
            while event_id not in seen:
                reading = await reader.poll([])
                log.append([], reading.events, reading.read_up_to, reading.before)
                seen.extend(event.id for event in reading.events)

    await asyncio.to_thread(make, kafka, *topics.values())
    reader = await begin()
    try:
        await send("a", "b", "c")
        await read_until("c")
        if restarted:
            await reader.stop()
        await asyncio.to_thread(make_anew, kafka, topics["scored"])
        if restarted:
            reader = await begin()
        await send("d")
        await read_until("d")
    finally:
        await reader.stop()
    assert (log.position(*place), log.before(*place)) == (1, 3)
    assert "ends before offset 3" in caplog.text
    log.close()


def make(kafka: str, *topics: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.create_topics([NewTopic(one, 1, 1) for one in topics]).values():
        try:
            future.result(DEADLINE_S)
        except KafkaException as error:
            # A consumer that asks for it has a broker make it, too.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def make_anew(kafka: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.delete_topics([topic]).values():
        future.result(DEADLINE_S)
    make(kafka, topic)
