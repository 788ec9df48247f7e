"""The model fails under load in every way that a device or a library can: nothing is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.acceptance.deployment import DEADLINE_S, STUB_WORKER
from tests.acceptance.faults import judge, staged, workload
from tests.acceptance.stub_worker import FAULT_FILE
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(400)]

SEED = 5
EVENTS = 600
# What the log or the process itself says at its end.
FATAL = {
    "hang": "records wait for the model, which does not answer; see that its device works",
    "freeze": "most recent call first",
    "die": "the model thread was ended by SystemExit",
}

# Two for each fault, so that it comes with work behind it and before it; one at the end.
PARTS = 2 * len(FATAL) + 1


def scored_of(wanted: int) -> Callable[[Sequence[object]], bool]:
    return lambda found: len(found) >= wanted


async def test_a_model_that_hangs_freezes_dies_or_lacks_memory_loses_nothing(
    own_kafka: KafkaServer,
    own_redis: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = tmp_path / "fault"
    monkeypatch.setenv(FAULT_FILE, str(order))
    chance = random.Random(SEED)
    with staged(
        own_kafka,
        own_redis,
        tmp_path,
        chance,
        more_settings="[http]\nstall_s = 5",
        worker=STUB_WORKER,
    ) as stage:
        deployment = stage.deployment
        worker = deployment.start_worker()
        await deployment.ready()
        good, records = workload(EVENTS, chance)
        parts = [records[start::PARTS] for start in range(PARTS)]
        for turn, (fault, said) in enumerate(FATAL.items(), 1):
            await deployment.publish(parts.pop())
            await deployment.read("scored", scored_of(turn * EVENTS // PARTS // 2))
            order.write_text(fault)
            await deployment.publish(parts.pop())
            assert await asyncio.to_thread(worker.wait, DEADLINE_S) == 1, deployment.tail()
            assert said in deployment.log.read_text(), deployment.tail()
            order.unlink()
            worker = deployment.start_worker()
        # A device with too little memory is nothing to end for.
        order.write_text("out-of-memory")
        await deployment.publish(parts.pop())
        verdict = await judge(stage, good, records)
        assert verdict.problems() == []
        assert verdict.released_by["out-of-memory"] > 0
        assert worker.poll() is None, deployment.tail()
