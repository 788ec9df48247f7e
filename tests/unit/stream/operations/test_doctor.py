"""doctor reports whatever is wrong and ends for none of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.asyncio import Redis as Client

from models.stub import StubPredictor
from stream.config.connections import Http, Kafka, Redis
from stream.config.settings import Fields, Limits, Settings, SettingsError, Source
from stream.config.subjects import Subjects
from stream.operations.doctor import examine, redis_check
from tests.redis_server import RedisServer

NO_FILE = Path("no/such/file")
NOWHERE = {"kafka": Kafka(bootstrap="127.0.0.1:1"), "redis": Redis(url="redis://127.0.0.1:1/0")}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (
            {"sources": [Source(topic="t", kind="news", fields=Fields(id="a.[", text="b"))]},
            "fields.id",
        ),
        ({"limits": Limits(oldest_time="long ago")}, "limits.oldest_time"),
    ],
)
async def test_sources_that_cannot_be_read_are_a_failed_check(
    changes: dict[str, object], named: str
) -> None:
    checks = {one.name: one for one in await examine(settings(**changes), StubPredictor)}
    assert checks["sources"].status == "failed"
    assert named in checks["sources"].detail
    assert checks["model"].status == "ok"


@pytest.mark.parametrize(
    ("changes", "name", "named"),
    [
        ({"subjects": Subjects(companies=NO_FILE)}, "subjects", "subjects.companies"),
        ({"subjects": Subjects(fields={"product": "a[0]"})}, "subjects", "subjects.fields.product"),
        ({"http": Http(listen="0.0.0.0:9464", token_file=NO_FILE)}, "http", "http.token_file"),
    ],
)
async def test_what_would_keep_a_worker_from_starting_is_a_failed_check(
    changes: dict[str, object], name: str, named: str
) -> None:
    checks = {one.name: one for one in await examine(settings(**changes), StubPredictor)}
    assert checks[name].status == "failed"
    assert named in checks[name].detail
    usual = {one.name: one.status for one in await examine(settings(), StubPredictor)}
    assert usual["subjects"] == "ok"
    assert "http" not in usual


async def test_a_setting_that_keeps_the_model_from_loading_is_a_failed_check() -> None:
    def load() -> StubPredictor:
        raise SettingsError("setting model.registry: is not set")

    checks = {one.name: one for one in await examine(settings(), load)}
    assert (checks["model"].status, checks["model"].detail) == (
        "failed",
        "setting model.registry: is not set",
    )


async def test_a_redis_that_takes_no_writes_is_a_failed_check(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers all the same, and says that it is well."""
    monkeypatch.setattr("stream.operations.doctor.KAFKA_DEADLINE_S", 0.01)
    there = {"redis": Redis(url=own_redis.url)}
    checks = {one.name: one for one in await examine(settings(**there), StubPredictor)}
    assert checks["redis"].status == "ok"
    async with Client.from_url(own_redis.url) as client:
        await client.replicaof("127.0.0.1", "1")
    checks = {one.name: one for one in await examine(settings(**there), StubPredictor)}
    assert checks["redis"].status == "failed"
    assert "takes no writes" in checks["redis"].detail
    assert "set redis.url to the primary" in checks["redis"].detail


@pytest.mark.parametrize(
    ("said", "status", "named"),
    [
        ({}, "ok", "Redis 7.2.4, 1M used"),
        ({"redis_version": "6.2.0"}, "ok", "6.2.0"),
        ({"redis_version": "10.1"}, "ok", "10.1"),
        ({"redis_version": "6.0.16"}, "failed", "6.2 or newer"),
        ({"redis_mode": "cluster"}, "failed", "Cluster is not supported"),
        ({"maxmemory_policy": "allkeys-lru"}, "ok", "7.2.4"),
        ({"maxmemory_policy": "volatile-lru", "maxmemory": 1}, "warning", "noeviction"),
        ({"maxmemory": 1}, "ok", "7.2.4"),
    ],
)
def test_a_redis_that_loses_or_lacks_what_a_worker_needs_is_named(
    said: dict[str, object], status: str, named: str
) -> None:
    usual = {
        "redis_version": "7.2.4",
        "redis_mode": "standalone",
        "used_memory_human": "1M",
        "maxmemory": 0,
        "maxmemory_policy": "noeviction",
    }
    check = redis_check(usual | said)
    assert (check.name, check.status) == ("redis", status)
    assert named in check.detail


def settings(**changes: object) -> Settings:
    return Settings().model_copy(update=NOWHERE | changes)
