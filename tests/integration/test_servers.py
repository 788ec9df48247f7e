"""The test servers themselves: records and keys go round, and a restart keeps them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import redis
from confluent_kafka import Consumer, Producer

DEADLINE_S = 30.0


def produce(bootstrap: str, topic: str, *values: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(DEADLINE_S) == 0, "records were not delivered"


def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{topic}-readers",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    try:
        messages = consumer.consume(count, timeout=DEADLINE_S)
    finally:
        consumer.close()
    assert all(message.error() is None for message in messages)
    return [message.value() for message in messages]


def test_a_record_goes_through_the_broker_and_a_key_through_redis(stack):
    topic = stack.topic("records")
    produce(stack.bootstrap, topic, b"one", b"two")
    assert sorted(consume(stack.bootstrap, topic, 2)) == [b"one", b"two"]

    with redis.Redis.from_url(stack.redis_url) as client:
        assert client.dbsize() == 0
        client.set("key", "value")
        assert client.get("key") == b"value"


def test_topic_names_of_a_test_never_begin_with_its_prefix(stack):
    assert not stack.topic("news").startswith(stack.prefix)


@pytest.mark.redis
def test_each_test_finds_redis_empty(redis_server, redis_url):
    with redis.Redis.from_url(redis_url) as client:
        client.set("left over", 1)
    redis_server.flush()
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


@pytest.mark.kafka
def test_a_killed_kafka_comes_back_with_its_records(own_kafka):
    produce(own_kafka.bootstrap, "kept", b"before")
    own_kafka.kill()
    own_kafka.start()
    produce(own_kafka.bootstrap, "kept", b"after")
    assert sorted(consume(own_kafka.bootstrap, "kept", 2)) == [b"after", b"before"]


@pytest.mark.redis
def test_a_killed_redis_comes_back_with_its_keys(own_redis):
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("key", "value")
    own_redis.kill()
    own_redis.start()
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.get("key") == b"value"


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_a_missing_server_skips_on_a_laptop_and_fails_in_ci(ci, outcome, tmp_path):
    test = f"{__file__}::test_a_killed_redis_comes_back_with_its_keys"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", test],
        env={**os.environ, "CI": ci, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in run.stdout.splitlines()[-1]
    assert "needs redis-server on the PATH" in run.stdout
