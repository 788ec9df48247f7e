"""The main job as a whole: real processes, real Kafka, real Redis, a real model."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.acceptance.deployment import DEADLINE_S, Deployment, values
from tests.acceptance.workload import SORTS, good_records, mixed

EVENTS = 1_500
OF_EACH_BAD_SORT = 10

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]


@pytest.fixture
def deployment(kafka: str, redis_url: str, tmp_path: Path) -> Iterator[Deployment]:
    running = Deployment(kafka, redis_url, tmp_path)
    yield running
    running.close()


async def alerts_in_redis(deployment: Deployment) -> dict[str, dict[str, str]]:
    client = Redis.from_url(deployment.redis_url, decode_responses=True)
    prefix = f"{deployment.name}:alert:"
    async with client:
        return {
            key.removeprefix(prefix): await client.hgetall(key)
            async for key in client.scan_iter(f"{prefix}*")
        }


def assert_alerts_agree(
    on_topic: list[dict[str, Any]], in_redis: dict[str, dict[str, str]]
) -> None:
    """Redis holds each alert as the topic's highest sequence left it."""
    latest: dict[str, dict[str, Any]] = {}
    for alert in on_topic:
        if alert["sequence"] >= latest.get(alert["id"], alert)["sequence"]:
            latest[alert["id"]] = alert
    assert set(latest) == set(in_redis)
    for alert_id, alert in latest.items():
        assert str(alert["count"]) == in_redis[alert_id]["count"], alert_id
        assert str(alert["sequence"]) == in_redis[alert_id]["sequence"], alert_id


def unique(records: list[Any], field: str = "id") -> set[str]:
    return {value[field] for value in values(records)}


async def test_every_good_event_is_scored_once_and_every_bad_one_is_explained(
    deployment: Deployment,
) -> None:
    worker = deployment.start_worker()
    await deployment.ready()
    good = good_records(EVENTS)
    await deployment.publish(mixed(good, OF_EACH_BAD_SORT))

    scored = await deployment.read("scored", lambda records: len(records) >= EVENTS)
    counts = Counter(value["id"] for value in values(scored))
    assert set(counts) == set(good)
    assert {identity: count for identity, count in counts.items() if count > 1} == {}

    letters = values(
        await deployment.read(
            "dead-letter", lambda records: len(records) >= OF_EACH_BAD_SORT * len(SORTS)
        )
    )
    expected = Counter({(reason, field): 0 for _, reason, field in SORTS.values()})
    for _, reason, field in SORTS.values():
        expected[reason, field] += OF_EACH_BAD_SORT
    assert Counter((letter["reason"], letter["field"]) for letter in letters) == expected
    assert len({letter["id"] for letter in letters}) == len(letters)

    worker.send_signal(signal.SIGTERM)
    assert worker.wait(DEADLINE_S) == 0, deployment.tail()
    committed = await deployment.committed("news", "social", "tickets")
    assert sum(committed.values()) == EVENTS + OF_EACH_BAD_SORT * len(SORTS)

    alerts = values(await deployment.read("alerts", lambda records: len(records) > 0))
    assert_alerts_agree(alerts, await alerts_in_redis(deployment))


async def test_kill_9_in_the_middle_loses_no_event_and_repeats_no_alert(
    deployment: Deployment,
) -> None:
    first = deployment.start_worker()
    await deployment.ready()
    good = good_records(1_000)
    await deployment.publish(good.values())
    await deployment.read("scored", lambda records: len(records) >= 200)
    first.send_signal(signal.SIGKILL)
    first.wait()
    scored_before = len(unique(await deployment.read("scored", lambda records: True)))
    assert scored_before < len(good), "the kill came too late to test anything"

    second = deployment.start_worker()
    scored = await deployment.read("scored", lambda records: unique(records) >= set(good))
    assert unique(scored) == set(good)
    second.send_signal(signal.SIGTERM)
    assert second.wait(DEADLINE_S) == 0, deployment.tail()

    in_redis = await alerts_in_redis(deployment)
    alerts = values(await deployment.read("alerts", lambda records: len(records) > 0))
    assert_alerts_agree(alerts, in_redis)
    for alert in alerts:
        repeats = [
            other
            for other in alerts
            if other["id"] == alert["id"] and other["sequence"] == alert["sequence"]
        ]
        assert all(other == repeats[0] for other in repeats)
    firing = {alert["fingerprint"] for alert in alerts if alert["state"] == "firing"}
    assert len(in_redis) >= len(firing)
