from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient

from stream.config.settings import Settings, load_settings
from stream.connections.topics import wanted_topics
from tests.conftest import Stack
from tests.integration.traffic import DEADLINE_S


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """Of a worker on the stack, with topics and a group of the test's own."""
    base = load_settings(None)
    ours = base.model_copy(
        update={
            "kafka": base.kafka.model_copy(
                update={"bootstrap": stack.bootstrap, "prefix": stack.prefix, "group": stack.name}
            ),
            "redis": base.redis.model_copy(update={"url": stack.redis_url}),
            "sources": tuple(
                source.model_copy(update={"topic": stack.topic(source.topic)})
                for source in base.sources
            ),
        }
    )
    if stack.kind == "embedded":
        # The mock cluster creates a topic when it is asked for, and not by request.
        client = AdminClient({"bootstrap.servers": stack.bootstrap})
        for topic in wanted_topics(ours):
            client.list_topics(topic, timeout=DEADLINE_S)
    return ours
