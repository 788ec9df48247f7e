"""Faults under load, in an order drawn from a seed: nothing is lost, no alert counted twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.acceptance.deployment import STUB_WORKER
from tests.acceptance.faults import (
    judge,
    publish_through,
    staged,
    workload,
)
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(500)]

SEED = 8
EVENTS = 900


async def test_zombies_kills_and_cut_connections_lose_nothing_and_count_nothing_twice(
    own_kafka: KafkaServer, own_redis: RedisServer, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    with staged(own_kafka, own_redis, tmp_path, chance) as stage:
        stage.deployment.start_worker()
        await stage.deployment.ready()
        stage.deployment.start_worker()
        good, records = workload(EVENTS, chance)
        faults = ["cut_redis", "zombie", "kill_redis", "kill_worker"]
        chance.shuffle(faults)
        await publish_through(stage, records, faults, seconds=30, pause_s=2)
        verdict = await judge(stage, good, records)
        assert verdict.problems() == [], stage.done


async def test_a_redis_that_lost_its_memory_delays_no_event_and_loses_no_dead_letter(
    own_kafka: KafkaServer, own_redis: RedisServer, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    with staged(own_kafka, own_redis, tmp_path, chance, worker=STUB_WORKER) as stage:
        stage.deployment.start_worker()
        await stage.deployment.ready()
        good, records = workload(300, chance)
        await publish_through(stage, records, ["empty_redis"], seconds=6, pause_s=1)
        verdict = await judge(stage, good, records)
        assert verdict.problems(redis_was_emptied=True) == []
        # What Redis forgot it counts again from nothing, and never more than there was.
        assert verdict.alerts.keys() <= verdict.alerts_expected.keys()
        assert all(verdict.alerts[name] <= verdict.alerts_expected[name] for name in verdict.alerts)


async def test_a_redis_that_is_full_then_read_only_then_slow_only_delays(
    own_kafka: KafkaServer, own_redis: RedisServer, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    with staged(own_kafka, own_redis, tmp_path, chance, worker=STUB_WORKER) as stage:
        worker = stage.deployment.start_worker()
        await stage.deployment.ready()
        good, records = workload(300, chance)
        faults = ["fill_redis", "freeze_redis", "slow_redis"]
        await publish_through(stage, records, faults, seconds=15, pause_s=0.5)
        assert worker.poll() is None, stage.deployment.tail()
        verdict = await judge(stage, good, records)
        assert verdict.problems() == []
        assert "raise maxmemory" in stage.deployment.log.read_text(), stage.deployment.tail()
