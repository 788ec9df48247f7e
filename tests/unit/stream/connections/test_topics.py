"""Topics are there before the stream starts, or one sentence says why they can't be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from aiokafka.errors import InvalidReplicationFactorError, PolicyViolationError

from stream.config.connections import Kafka
from stream.config.settings import Settings, Worker
from stream.connections.topics import _create, prepare_topics, wanted_topics
from stream.demo.embedded import EmbeddedBroker
from stream.runtime.errors import StartError

AT_ONCE = Worker(start_timeout_s=0)


async def test_a_broker_without_a_controller_is_named_with_the_topics_it_can_not_create() -> None:
    with EmbeddedBroker() as broker:
        settings = Settings(kafka=Kafka(bootstrap=broker.bootstrap), worker=AT_ONCE)
        first, *others = sorted(wanted_topics(settings))
        broker.create_topics(others)
        with pytest.raises(StartError) as caught:
            await prepare_topics(settings)
    said = str(caught.value)
    assert said.startswith(f"topics {first} do not exist, and Kafka at {broker.bootstrap} has no ")
    assert "create the topics yourself" in said


async def test_without_a_missing_topic_no_controller_is_needed() -> None:
    with EmbeddedBroker() as broker:
        settings = Settings(kafka=Kafka(bootstrap=broker.bootstrap), worker=AT_ONCE)
        broker.create_topics(list(wanted_topics(settings)))
        await prepare_topics(settings)


class FewBrokers:
    """An admin client of a cluster to which one broker more comes with each try."""

    def __init__(self, brokers: int, code: int = InvalidReplicationFactorError.errno) -> None:
        self._brokers = brokers
        self._code = code
        self.created: list[str] = []

    async def create_topics(self, topics: list[NewTopic]) -> Any:
        errors = []
        for topic in topics:
            code = 0 if topic.replication_factor <= self._brokers else self._code
            errors.append((topic.name, code, "too few brokers" if code else None))
            self.created += [] if code else [topic.name]
        self._brokers += 1
        return SimpleNamespace(topic_errors=errors)


async def test_topics_wait_for_as_many_brokers_as_they_have_copies() -> None:
    admin: Any = FewBrokers(1)
    await _create(admin, Settings(kafka=Kafka(replication=3)), {"one": {}, "other": {}})
    assert admin.created == ["one", "other"]


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        (InvalidReplicationFactorError.errno, Settings(kafka=Kafka(replication=3), worker=AT_ONCE)),
        (PolicyViolationError.errno, Settings(kafka=Kafka(replication=3))),
    ],
)
async def test_what_no_waiting_mends_is_said(code: int, settings: Settings) -> None:
    admin: Any = FewBrokers(1, code)
    with pytest.raises(StartError, match=r"topic one can't be created: .* too few brokers"):
        await _create(admin, settings, {"one": {}})
    assert admin.created == []
