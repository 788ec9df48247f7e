"""What the consumer of a worker reads where Faust by itself would read on behind some records."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from confluent_kafka.admin import AdminClient, NewPartitions

from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments
from stream.connections.topic_log import places_of
from stream.connections.topics import prepare_topics
from stream.ingest.chunks import faust_app, start_reading
from tests.integration.traffic import DEADLINE_S, publish

RECORDS = [b"%d" % number for number in range(8)]


class Reader:
    """The consumer of one source, with an agent that acknowledges at once what comes."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.app = faust_app(settings, kafka_arguments(settings.kafka), str(folder))
        self.came: list[bytes] = []
        topic = self.app.topic(
            settings.sources[0].topic, key_serializer="raw", value_serializer="raw"
        )
        self.app.agent(topic, name="reader")(self._take)

    async def _take(self, stream: Any) -> None:
        async for event in stream.noack().events():
            self.came.extend(record.value for record in event.value)
            event.ack()

    async def read(self, count: int) -> list[bytes]:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.came) < count:
                await asyncio.sleep(0.02)
        return sorted(self.came)


async def no_outage() -> str:
    return ""


@asynccontextmanager
async def reading(reader: Reader) -> AsyncIterator[None]:
    await start_reading(reader.app, no_outage)
    try:
        yield
    finally:
        await reader.app.stop()


async def test_what_comes_while_the_group_forms_is_read_though_nothing_is_committed(
    settings: Settings, tmp_path: Path
) -> None:
    await prepare_topics(settings)
    reader = Reader(settings, tmp_path)
    consumer = reader.app.consumer
    fetch, dropped = consumer._getmany, asyncio.Event()

    async def fetch_while_a_rebalance_begins(**asked: Any) -> Any:
        records = await fetch(**asked)
        if records and not dropped.is_set():
            consumer.stop_flow()
            dropped.set()
        return records

    consumer._getmany = fetch_while_a_rebalance_begins
    async with reading(reader):
        await publish(settings, 0, *RECORDS)
        await asyncio.wait_for(dropped.wait(), DEADLINE_S)
        assert not reader.came
        consumer.resume_flow()
        assert await reader.read(len(RECORDS)) == RECORDS


async def test_a_log_that_ends_before_the_committed_offset_is_read_from_its_beginning(
    settings: Settings, tmp_path: Path
) -> None:
    topic = settings.sources[0].topic
    await prepare_topics(settings)
    await publish(settings, 0, *RECORDS)
    outside = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap,
        group_id=settings.kafka.group,
        enable_auto_commit=False,
    )
    await outside.start()
    try:
        # As of a topic that has been deleted and made anew, or of brokers that lost its end.
        places = await places_of(settings, topic)
        outside.assign(places)
        await outside.commit(dict.fromkeys(places, 1_000))
        reader = Reader(settings, tmp_path)
        async with reading(reader):
            assert await reader.read(len(RECORDS)) == RECORDS
        committed = [await outside.committed(place) for place in places]
        assert sum(offset for offset in committed if offset < 1_000) == len(RECORDS)
    finally:
        await outside.stop()


@pytest.mark.kafka
async def test_partitions_that_are_added_are_noticed(
    kafka: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.ingest.chunks.NOTICED_MS", 500)
    name = f"partitions-added-{uuid.uuid4().hex[:8]}"
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap": kafka, "group": name, "prefix": f"{name}."},
            "sources": [{"topic": f"{name}-news", "kind": "news"}],
        }
    )
    await prepare_topics(settings)
    reader = Reader(settings, tmp_path)
    async with reading(reader):
        admin = AdminClient({"bootstrap.servers": kafka})
        grown = NewPartitions(f"{name}-news", settings.kafka.partitions + 4)
        for done in admin.create_partitions([grown]).values():
            done.result(DEADLINE_S)
        async with asyncio.timeout(DEADLINE_S):
            while len(reader.app.consumer.assignment()) < settings.kafka.partitions + 4:
                await asyncio.sleep(0.02)
        await publish(settings, 0, *RECORDS)
        assert await reader.read(len(RECORDS)) == RECORDS


async def test_a_topic_that_is_gone_keeps_no_other_from_being_committed(
    settings: Settings, tmp_path: Path
) -> None:
    await prepare_topics(settings)
    reader = Reader(settings, tmp_path)
    async with reading(reader):
        thread = reader.app.consumer._thread
        consumer = thread._ensure_consumer()
        there, gone = min(consumer.assignment()), TopicPartition("gone", 0)
        offsets = {place: OffsetAndMetadata(1, "") for place in (gone, there)}
        assignment = consumer._subscription.subscription.assignment
        async with asyncio.timeout(DEADLINE_S):
            await thread.call_thread(consumer._coordinator.commit_offsets, assignment, offsets)
            assert await thread.call_thread(consumer.committed, there) == 1
