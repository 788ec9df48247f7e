"""What ails the brokers, from their own description of our topics."""

from __future__ import annotations

from typing import Any

import pytest

from stream.config.settings import Settings
from stream.connections.kafka_outage import kafka_outage, unserved
from tests.server_process import free_ports


def described(*partitions: dict[str, Any]) -> dict[str, Any]:
    whole = {"leader": 1, "replicas": [1, 2, 3], "isr": [1, 2, 3]}
    return {
        "topic": "news",
        "partitions": [{**whole, "partition": n, **one} for n, one in enumerate(partitions)],
    }


@pytest.mark.parametrize(
    ("topics", "needed", "said"),
    [
        ([], {}, ""),
        ([described({}, {})], {"news": 2}, ""),
        ([described({"isr": [2]}, {"leader": -1})], {}, "no broker leads partition 1 of news"),
        ([described({}, {"isr": [2, 3]})], {"news": 2}, ""),
        ([described({}, {"isr": [2]})], {"news": 1}, ""),
        (
            [described({}, {"isr": [2]})],
            {"news": 2},
            "only 1 of 3 copies of partition 1 of news are in step, and it needs 2;",
        ),
        ([described({}, {"isr": [2, 3]})], {"news": 3}, "only 2 of 3 copies of partition 1"),
        ([described({}, {"isr": [2, 3]})], {}, ""),
        ([described({}, {"isr": [2]})], {}, "only 1 of 3 copies of partition 1"),
        ([described({"replicas": [1], "isr": [1]})], {}, ""),
    ],
)
def test_a_partition_without_leader_or_enough_copies_is_named(
    topics: list[dict[str, Any]], needed: dict[str, int], said: str
) -> None:
    found = unserved(topics, needed)
    assert found.startswith(said)
    assert bool(found) == bool(said)


async def test_brokers_that_nobody_reaches_are_named_with_the_remedy() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    said = await kafka_outage(Settings(kafka={"bootstrap": address}))
    assert said.startswith(f"Kafka at {address} can't be reached (")
    assert "start it, or set kafka.bootstrap" in said
