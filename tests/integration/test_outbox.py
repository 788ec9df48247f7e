"""The outbox on a real Kafka: after a batch that the broker refuses, the next ones are taken."""

from __future__ import annotations

import asyncio
import functools
import os
import time
import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from stream.config.connections import Kafka
from stream.connections.outbox import Outbox, Outgoing, TooLargeForTopicError, open_outbox
from stream.runtime.tasks import end
from tests.until import until

pytestmark = pytest.mark.kafka

DEADLINE_S = 60.0
LATE_MS = round(time.time() * 1000) + 2 * 3_600_000
"""Beyond the hour by which Kafka lets a record be ahead of its own clock."""


def made(bootstrap: str, room: int, **config: str) -> str:
    """A new topic that takes batches of so many bytes."""
    name = f"outbox-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = NewTopic(name, 2, 1, config={"max.message.bytes": str(room), **config})
    admin.create_topics([topic])[name].result(DEADLINE_S)
    return name


def written(bootstrap: str, topic: str, count: int) -> list[bytes]:
    """What is there once it is as many records as that; none may be left over."""
    places = [TopicPartition(topic, partition, 0) for partition in range(2)]
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic})
    try:
        assert sum(consumer.get_watermark_offsets(place)[1] for place in places) == count
        consumer.assign(places)
        return [message.value() for message in consumer.consume(count, timeout=DEADLINE_S)]
    finally:
        consumer.close()


async def test_what_a_broker_refuses_keeps_nothing_else_from_its_partition(kafka: str) -> None:
    topic = await asyncio.to_thread(made, kafka, 20_000)
    # Of bytes that no compression makes fewer.
    batch = [n.to_bytes(1, "big") + os.urandom(5_000) for n in range(30)]
    async with open_outbox(Kafka(bootstrap=kafka)) as outbox:
        async with asyncio.timeout(DEADLINE_S):
            # A broker that knows nothing of a producer takes any number from it.
            await outbox.send([Outgoing(topic, b"k", b"before")])
            await outbox.send([Outgoing(topic, b"k", value) for value in batch])
            with pytest.raises(TooLargeForTopicError, match="30001 bytes"):
                await outbox.send([Outgoing(topic, b"k", os.urandom(30_000))])
            await outbox.send([Outgoing(topic, b"k", b"after")])
    expected = [b"before", *batch, b"after"]
    assert await asyncio.to_thread(written, kafka, topic, len(expected)) == expected


async def test_a_record_larger_than_a_segment_is_no_outage(kafka: str) -> None:
    segment = {"segment.bytes": str(1_048_576)}
    topic = await asyncio.to_thread(lambda: made(kafka, 8_000_000, **segment))
    async with open_outbox(Kafka(bootstrap=kafka)) as outbox:
        async with asyncio.timeout(DEADLINE_S):
            with pytest.raises(TooLargeForTopicError, match=r"segment\.bytes"):
                await outbox.send([Outgoing(topic, b"k", os.urandom(1_200_000))])
            await outbox.send([Outgoing(topic, b"k", b"after")])
    assert await asyncio.to_thread(written, kafka, topic, 1) == [b"after"]


@pytest.mark.parametrize(
    ("config", "record", "remedy"),
    [
        ({}, Outgoing("", b"k", b"v", timestamp_ms=LATE_MS), "this machine's clock"),
        ({"cleanup.policy": "compact"}, Outgoing("", None, b"v"), "without a key"),
    ],
    ids=["from a clock that is ahead", "without a key for a compacted topic"],
)
async def test_a_record_that_is_refused_for_ever_is_waited_with_and_its_remedy_said(
    kafka: str,
    config: dict[str, str],
    record: Outgoing,
    remedy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic = await asyncio.to_thread(functools.partial(made, kafka, 20_000, **config))
    outbox = Outbox({"bootstrap_servers": kafka})
    await outbox.start()
    sending = asyncio.create_task(outbox.send([record._replace(topic=topic)]))
    try:
        await until(lambda: remedy in caplog.text, DEADLINE_S)
        assert not sending.done()
    finally:
        await end(sending)
        await outbox.stop()
