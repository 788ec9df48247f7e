"""What the console keeps of Kafka: the latest records, followed, and anew after an outage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import msgspec
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions

import tests.until
from models.registry import Alias
from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, open_outbox
from stream.connections.topics import prepare_topics
from stream.console import recent as module
from stream.console.recent import Recent
from stream.operations.ledger import RulesText, Sign
from stream.operations.ledger import encode as encode_entry
from stream.records import Feedback, encode
from tests.fakes import NOON, scored
from tests.kafka_server import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

DEADLINE_S = 90.0
until = partial(tests.until.until, deadline_s=DEADLINE_S)


@pytest.fixture
def settings(own_kafka: KafkaServer) -> Settings:
    base = Settings()
    kafka = base.kafka.model_copy(update={"bootstrap": own_kafka.bootstrap, "partitions": 2})
    return base.model_copy(update={"kafka": kafka})


@asynccontextmanager
async def following(settings: Settings) -> AsyncIterator[tuple[Recent, list[Alias]]]:
    heard: list[Alias] = []
    recent = Recent(settings, heard.append)
    recent.start()
    try:
        yield recent, heard
    finally:
        await recent.stop()


async def send(settings: Settings, *records: Outgoing) -> None:
    async with open_outbox(settings.kafka) as outbox:
        await outbox.send(records)


def event(settings: Settings, name: str) -> Outgoing:
    return Outgoing(settings.topics.scored, name.encode(), encode(scored(id=name)))


def write_to_a_third_partition(settings: Settings, record: Outgoing) -> None:
    server = {"bootstrap.servers": settings.kafka.bootstrap}
    admin = AdminClient(server)
    admin.create_partitions([NewPartitions(record.topic, 3)])[record.topic].result(DEADLINE_S)
    deadline = time.monotonic() + DEADLINE_S
    while len(admin.list_topics(record.topic).topics[record.topic].partitions) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    producer = Producer(server)
    producer.produce(record.topic, record.value, record.key, partition=2)
    assert producer.flush(DEADLINE_S) == 0


async def test_the_latest_records_are_kept_followed_and_found_again_after_an_outage(
    settings: Settings, own_kafka: KafkaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_SCORED", 10)
    monkeypatch.setattr(module, "LOOK_S", 0.5)
    async with following(settings) as (recent, heard):
        await until(lambda: recent.caught_up)  # before the topics are there
        assert recent.scored == []
        await prepare_topics(settings)
        await send(settings, *(event(settings, f"e-{n}") for n in range(30)))
        strange = [b"not ours", b'{"id":"\xff\xfe"}']
        for topic in (settings.topics.scored, settings.topics.feedback):
            await send(settings, *(Outgoing(topic, b"x", content) for content in strange))
        signs = [Sign("w", NOON), Sign("w", NOON, ended=True), RulesText("r", "# rules")]
        ledger = settings.topics.ledger
        await send(settings, *(Outgoing(ledger, one.key, encode_entry(one)) for one in signs))
        await until(lambda: len(recent.scored) == 10)
        await until(lambda: recent.ledger == [signs[1]])
        await asyncio.to_thread(write_to_a_third_partition, settings, event(settings, "added"))
        await until(lambda: any(one.id == "added" for one in recent.scored))
        assert len(recent.scored) == 10
        assert len({one.id for one in recent.scored}) == 10  # none of those before came again
        own_kafka.kill()
        await until(lambda: recent.fault != "")
        own_kafka.start()
        await send(settings, event(settings, "late"))
        await until(lambda: any(one.id == "late" for one in recent.scored))
        await until(lambda: recent.fault == "")
        assert sum(one.id == "late" for one in recent.scored) == 1
        move = Alias(alias="champion", version="v", number=1, since=NOON, by="b", why="w")
        topic = settings.topics.models
        await send(settings, Outgoing(topic, b"champion", msgspec.json.encode(move)))
        await until(lambda: heard == [move])


def say_in_a_transaction(settings: Settings, name: str, *, commit: bool) -> None:
    producer = Producer(
        {"bootstrap.servers": settings.kafka.bootstrap, "transactional.id": "their own"}
    )
    producer.init_transactions(DEADLINE_S)
    producer.begin_transaction()
    said = Feedback(id=name, event_id="e", head="topic", label="fraud", author="ann", time=NOON)
    producer.produce(settings.topics.feedback, encode(said), b"e", partition=0)
    assert producer.flush(DEADLINE_S) == 0
    (producer.commit_transaction if commit else producer.abort_transaction)(DEADLINE_S)


async def test_a_label_of_an_aborted_transaction_is_none_and_the_end_of_one_is_caught_up_with(
    settings: Settings,
) -> None:
    await prepare_topics(settings)
    for name, commit in (("taken", True), ("aborted", False)):
        await asyncio.to_thread(say_in_a_transaction, settings, name, commit=commit)
    async with following(settings) as (recent, _):
        await until(lambda: recent.caught_up)
        assert [one.id for one in recent.feedback] == ["taken"]
        await asyncio.to_thread(say_in_a_transaction, settings, "aborted too", commit=False)
        await asyncio.to_thread(say_in_a_transaction, settings, "last", commit=True)
        await until(lambda: any(one.id == "last" for one in recent.feedback))
        assert [one.id for one in recent.feedback] == ["taken", "last"]
