"""What a wait says: the cause, and the remedy where the cause has one."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from redis.asyncio import Redis
from redis.exceptions import ClusterCrossSlotError, MovedError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from stream.runtime import backoff as backoff_module
from stream.runtime.backoff import ROW_ENDS_S, Backoff, present_troubles
from tests.redis_server import RedisServer

DEADLINE_S = 60

logger = logging.getLogger(__name__)


@pytest.fixture
async def client(own_redis: RedisServer) -> AsyncIterator[Redis]:
    async with Redis.from_url(own_redis.url, socket_timeout=0.2, retry=None) as one:
        yield one


async def refusal(client: Redis, *, script: bool) -> RedisError:
    command = ["EVAL", "return redis.call('SET', 'key', 'value')", "0"]
    with pytest.raises(RedisError) as caught:
        await client.execute_command(*(command if script else ["SET", "key", "value"]))
    return caught.value


async def said(error: Exception, caplog: pytest.LogCaptureFixture) -> str:
    backoff = Backoff("Redis is in trouble", logger)
    await backoff.wait(error)
    assert caplog.messages[-1].startswith("Redis is in trouble (")
    assert caplog.messages[-1].endswith("s so far")
    assert "Redis is in trouble" in backoff.describe()
    return caplog.messages[-1]


async def test_a_right_that_is_missing_is_named_with_where_they_are_listed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert "docs/security.md" in await said(TopicAuthorizationFailedError("news"), caplog)


@pytest.mark.parametrize(
    "error", [MovedError("866 127.0.0.1:7000"), ClusterCrossSlotError("Keys in request")]
)
async def test_a_cluster_is_named_as_what_is_not_supported(
    error: RedisError, caplog: pytest.LogCaptureFixture
) -> None:
    assert "Redis Cluster is not supported" in await said(error, caplog)


@pytest.mark.redis
@pytest.mark.parametrize("script", [False, True])
async def test_a_full_redis_is_named_with_its_remedy(
    client: Redis, script: bool, caplog: pytest.LogCaptureFixture
) -> None:
    await client.config_set("maxmemory", 1)
    assert "raise maxmemory of Redis" in await said(await refusal(client, script=script), caplog)


@pytest.mark.redis
@pytest.mark.parametrize("script", [False, True])
async def test_a_read_only_redis_is_named_with_its_remedy(
    client: Redis, script: bool, caplog: pytest.LogCaptureFixture
) -> None:
    await client.replicaof("127.0.0.1", "1")
    assert "set redis.url to the primary" in await said(
        await refusal(client, script=script), caplog
    )


@pytest.mark.redis
async def test_a_slow_redis_is_named_with_its_remedy(
    client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await client.client_pause(1_000)
    assert "raise redis.timeout_s" in await said(await refusal(client, script=False), caplog)


async def test_what_names_its_own_cause_gets_no_remedy(caplog: pytest.LogCaptureFixture) -> None:
    words = await said(RedisConnectionError("Connection refused."), caplog)
    assert "(ConnectionError: Connection refused.); trying again" in words


async def test_a_failure_long_after_the_last_begins_a_new_row(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_000.0
    monkeypatch.setattr(backoff_module, "time", SimpleNamespace(monotonic=lambda: now))
    backoff = Backoff("the notifier can't go on", logger)
    now += 86_400
    await backoff.wait(OSError("gone"))
    assert caplog.messages[-1].endswith(" 0 s so far")
    now += 20
    await backoff.wait(OSError("gone"))
    assert caplog.messages[-1].endswith(" 20 s so far")
    now += ROW_ENDS_S + 1
    assert backoff.describe() == ""
    await backoff.wait(OSError("gone"))
    assert caplog.messages[-1].endswith(" 0 s so far")


async def test_what_went_well_is_no_trouble_and_the_next_failure_is_said_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backoff = Backoff("the notifier can't go on", logger)
    await backoff.wait(OSError("gone"))
    await backoff.wait(OSError("gone"))
    assert len(caplog.messages) == 1
    assert any("the notifier can't go on" in words for words in present_troubles())
    backoff.reset()
    assert not any("the notifier can't go on" in words for words in present_troubles())
    await backoff.wait(OSError("gone"))
    assert len(caplog.messages) == 2


@pytest.mark.redis
async def test_a_redis_that_cannot_write_to_its_disk_is_named_with_its_remedy(
    client: Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(tmp_path / "redis")
    await client.config_set("save", "3600 1")
    await client.bgsave()
    async with asyncio.timeout(DEADLINE_S):
        while (await client.info("persistence"))["rdb_last_bgsave_status"] == "ok":
            await asyncio.sleep(0.02)
    assert "free space on the disk" in await said(await refusal(client, script=False), caplog)
    await client.config_set("save", "")  # one that must save at its end would not end
