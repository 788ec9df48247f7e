"""Three brokers, two of which must have each record: one dies, then all, and nothing is lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.acceptance.deployment import STUB_WORKER
from tests.acceptance.faults import judge, publish_through, staged, workload
from tests.kafka_cluster import NODES, KafkaCluster
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(500)]

SEED = 12
EVENTS = 900


async def test_a_leader_that_dies_and_then_every_broker_lose_nothing_and_count_nothing_twice(
    own_cluster: KafkaCluster, own_redis: RedisServer, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    # The outage is longer than a watchdog waits that finds nobody else to blame.
    watchdog = "[http]\nstall_s = 10"
    with staged(
        own_cluster, own_redis, tmp_path, chance, more_settings=watchdog, worker=STUB_WORKER
    ) as stage:
        workers = [stage.deployment.start_worker()]
        await stage.deployment.ready()
        workers.append(stage.deployment.start_worker())
        await stage.deployment.shared_by(2)
        scored = stage.deployment.topic("scored")
        assert await asyncio.to_thread(own_cluster.replicas, scored) == {NODES}
        good, records = workload(EVENTS, chance)
        faults = ["kill_leader", "outage_of_kafka"]
        await publish_through(stage, records, faults, seconds=30, pause_s=4)
        verdict = await judge(stage, good, records)
        assert verdict.problems() == [], stage.done
        assert [worker.poll() for worker in workers] == [None, None], stage.deployment.tail()
        assert "can't be reached" in stage.deployment.log.read_text(), stage.deployment.tail()
