"""Topics are there before the stream starts, or one sentence says why they can't be."""

from __future__ import annotations

import pytest

from stream.config.connections import Kafka
from stream.config.settings import Settings, Worker
from stream.connections.topics import prepare_topics, wanted_topics
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
