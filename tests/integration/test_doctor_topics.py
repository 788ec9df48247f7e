"""doctor on a real Kafka: topics that are all there, and not all as a worker needs them."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from models.stub import StubPredictor
from stream.config.connections import Redis
from stream.config.settings import Settings, load_settings
from stream.connections.topics import prepare_topics
from stream.operations.doctor import Check, examine
from tests.kafka_server import KafkaServer

pytestmark = pytest.mark.kafka

DEADLINE_S = 60.0


def change(bootstrap: str, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.incremental_alter_configs([resource])[resource].result(DEADLINE_S)


async def check_becomes(status: str, settings: Settings, beginning: str = "") -> str:
    """What the check of topics says; a broker knows a moment later what is and how it is set."""
    check: Check | None = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                checks = {one.name: one for one in await examine(settings, StubPredictor)}
                check = checks.get("topics", checks["kafka"])
                said = check.name == "topics" and check.status == status
                if said and check.detail.startswith(beginning):
                    return check.detail
    except TimeoutError:
        pytest.fail(f"doctor does not say {status}: {beginning}; the last it said was {check}")


async def test_a_wait_in_vain_tells_what_doctor_said_last(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Check("kafka", "ok", "1 broker"), Check("topics", "warning", "x is missing")]

    async def examined(*_: object) -> list[Check]:
        if not answers:
            await asyncio.Event().wait()
        return [answers.pop(0) for _ in range(len(answers))]

    monkeypatch.setattr(f"{__name__}.examine", examined)
    monkeypatch.setattr(f"{__name__}.DEADLINE_S", 0.01)
    with pytest.raises(pytest.fail.Exception, match=r"not say ok: .* last .*x is missing"):
        await check_becomes("ok", load_settings(None))


async def test_a_topic_of_a_receiver_that_is_not_there_is_found(kafka: str, tmp_path: Path) -> None:
    base = load_settings(None)
    name = f"doctor-{uuid.uuid4().hex[:8]}"
    routes = tmp_path / "routes.toml"
    routes.write_text(
        f"""
        [route]
        receiver = "support"

        [[receivers]]
        name = "support"
        type = "topic"
        topic = "{name}.told"
        """,
        encoding="utf-8",
    )
    settings = base.model_copy(
        update={
            "kafka": base.kafka.model_copy(update={"bootstrap": kafka, "prefix": f"{name}."}),
            "redis": Redis(url="redis://127.0.0.1:1/0"),
            "alerting": base.alerting.model_copy(update={"routes": routes}),
        }
    )
    first = await check_becomes("warning", settings)
    assert f" missing; the worker creates them when it starts; {name}.told, to which" in first
    await prepare_topics(settings)
    told = f"{name}.told, to which receiver support writes, does not exist"
    assert "missing; the worker" not in await check_becomes("warning", settings, told)
    admin = AdminClient({"bootstrap.servers": kafka})
    made = admin.create_topics([NewTopic(f"{name}.told", 1)])
    await asyncio.to_thread(made[f"{name}.told"].result, DEADLINE_S)
    assert await check_becomes("ok", settings) == "all there"
    routes.write_text("damaged", encoding="utf-8")
    assert await check_becomes("ok", settings) == "all there"


async def test_a_topic_that_would_stop_a_worker_is_found_before_it_does(kafka: str) -> None:
    base = load_settings(None)
    prefix = f"doctor-{uuid.uuid4().hex[:8]}."
    settings = base.model_copy(
        update={
            "kafka": base.kafka.model_copy(update={"bootstrap": kafka, "prefix": prefix}),
            "redis": Redis(url="redis://127.0.0.1:1/0"),
        }
    )
    await prepare_topics(settings)
    assert await check_becomes("ok", settings) == "all there"

    scored, ledger = settings.topics.scored, settings.topics.ledger
    await asyncio.to_thread(change, kafka, scored, "max.message.bytes", "1000000")
    detail = await check_becomes("warning", settings)
    assert detail.startswith(f"{scored} has max.message.bytes 1000000")

    await asyncio.to_thread(change, kafka, ledger, "min.insync.replicas", "2")
    detail = await check_becomes("failed", settings)
    assert f"of {ledger} are in step, and it needs 2" in detail


async def test_brokers_that_can_look_after_no_group_are_found(
    own_kafka: KafkaServer, tmp_path: Path
) -> None:
    own_kafka.stop()
    with (tmp_path / "kafka" / "server.properties").open("a") as properties:
        properties.write("offsets.topic.replication.factor=3\n")  # as Kafka has it by default
    own_kafka.start()
    settings = Settings.model_validate({"kafka": {"bootstrap": own_kafka.bootstrap}})
    await prepare_topics(settings)
    said = await check_becomes("failed", settings)
    assert "no broker looks after the group bellwether; start the brokers that are down" in said
    assert "offsets.topic.replication.factor" in said
