"""A topic read from a time on, also where the broker does not look offsets up by time."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, open_outbox
from stream.connections.topic_log import read_log
from stream.connections.topics import prepare_topics
from stream.demo.embedded import EmbeddedBroker
from stream.names import Topics

T0 = datetime(2026, 3, 12, 12, tzinfo=UTC)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
async def settings(request: pytest.FixtureRequest) -> AsyncIterator[Settings]:
    base = Settings()
    ours = base.kafka.model_copy(
        update={"prefix": f"since-{uuid.uuid4().hex[:8]}.", "partitions": 2}
    )
    with ExitStack() as stack:
        if request.param == "kafka":
            bootstrap = request.getfixturevalue("kafka")
        else:
            broker = stack.enter_context(EmbeddedBroker())
            bootstrap = broker.bootstrap
            broker.create_topics([Topics(ours.prefix).alerts])
        found = base.model_copy(update={"kafka": ours.model_copy(update={"bootstrap": bootstrap})})
        if request.param == "kafka":
            await prepare_topics(found)
        yield found


async def test_since_begins_at_the_first_record_of_that_time_on_any_broker(
    settings: Settings,
) -> None:
    topic = settings.topics.alerts
    async with open_outbox(settings.kafka) as outbox:
        for after_s in (0, 10, 30, 20, 40):
            at_ms = round((T0 + timedelta(seconds=after_s)).timestamp() * 1000)
            await outbox.send([Outgoing(topic, b"k", b"%d" % after_s, timestamp_ms=at_ms)])

    async def since(after_s: float) -> list[bytes | None]:
        at = T0 + timedelta(seconds=after_s)
        return [record.value async for record in read_log(settings, topic, since=at)]

    assert await since(-2e9) == await since(-1)  # before 1970, which Kafka takes for no time
    assert await since(-1) == [b"0", b"10", b"30", b"20", b"40"]
    assert await since(10) == [b"10", b"30", b"20", b"40"]
    # As Kafka finds it: what stands behind the first record of that time was written later.
    assert await since(20.001) == [b"30", b"20", b"40"]
    assert await since(40) == [b"40"]
    assert await since(41) == []
