"""Kafka and Redis come and go; the worker waits, says so, and loses nothing."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from tests.acceptance.deployment import DEADLINE_S, POLL_S, STUB_WORKER, Deployment, values
from tests.acceptance.workload import good_records
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer
from tests.server_process import free_ports

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(400)]


async def answers(address: str, status: int) -> str:
    """What is answered there once the status is the one waited for."""
    deadline = time.monotonic() + DEADLINE_S
    async with ClientSession() as client:
        while True:
            async with client.get(address) as answer:
                body = await answer.text()
                if answer.status == status:
                    return body
            assert time.monotonic() < deadline, f"{address} stays {answer.status}: {body}"
            await asyncio.sleep(POLL_S)


async def assert_all_scored(deployment: Deployment, wanted: set[str]) -> None:
    records = await deployment.read(
        "scored", lambda found: {value["id"] for value in values(found)} >= wanted
    )
    assert {value["id"] for value in values(records)} == wanted


async def test_a_worker_waits_for_a_broker_that_is_not_up_yet(
    own_kafka: KafkaServer, redis_url: str, tmp_path: Path
) -> None:
    own_kafka.stop()
    deployment = Deployment(own_kafka.bootstrap, redis_url, tmp_path, worker=STUB_WORKER)
    try:
        worker = deployment.start_worker()
        await deployment.says(deployment.log, "waiting for Kafka")
        own_kafka.start()
        await deployment.ready()
        good = good_records(30)
        await deployment.publish(good.values())
        await assert_all_scored(deployment, set(good))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(DEADLINE_S) == 0, deployment.tail()
    finally:
        deployment.close()


async def test_redis_killed_under_load_delays_and_loses_nothing(
    kafka: str, own_redis: RedisServer, tmp_path: Path
) -> None:
    listen = f"127.0.0.1:{free_ports(1)[0]}"
    deployment = Deployment(
        kafka,
        own_redis.url,
        tmp_path,
        more_settings=f'[http]\nlisten = "{listen}"\nstall_s = 5',
        worker=STUB_WORKER,
    )
    try:
        worker = deployment.start_worker()
        await deployment.ready()
        await answers(f"http://{listen}/ready", 200)
        async with Redis.from_url(own_redis.url) as client:
            await client.config_set("maxmemory", 1)
            assert "raise maxmemory" in await answers(f"http://{listen}/ready", 503)
            await client.config_set("maxmemory", 0)
        await answers(f"http://{listen}/ready", 200)
        own_redis.kill()
        await answers(f"http://{listen}/ready", 503)
        good = good_records(600)
        await deployment.publish(good.values())
        await deployment.says(deployment.log, "Redis takes neither events nor alerts")
        # The watchdog names the cause, and leaves a worker alone that is not at fault.
        assert "Redis takes neither" in await answers(f"http://{listen}/health", 503)
        assert worker.poll() is None
        own_redis.start()
        await assert_all_scored(deployment, set(good))
        await answers(f"http://{listen}/health", 200)
        assert await answers(f"http://{listen}/ready", 200)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(DEADLINE_S) == 0, deployment.tail()
    finally:
        deployment.close()


async def test_sigterm_during_a_broker_outage_ends_within_the_drain_deadline(
    own_kafka: KafkaServer, redis_url: str, tmp_path: Path
) -> None:
    deployment = Deployment(
        own_kafka.bootstrap, redis_url, tmp_path, more_settings="[worker]\ndrain_s = 3"
    )
    try:
        worker = deployment.start_worker()
        await deployment.ready()
        good = good_records(300)
        await deployment.publish(good.values())
        await deployment.read("scored", lambda found: len(found) > 0)
        own_kafka.kill()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(DEADLINE_S) == 1, deployment.tail()
        assert "not drained within worker.drain_s" in deployment.tail()

        own_kafka.start()
        second = deployment.start_worker()
        await assert_all_scored(deployment, set(good))
        second.send_signal(signal.SIGTERM)
        assert second.wait(DEADLINE_S) == 0, deployment.tail()
    finally:
        deployment.close()
