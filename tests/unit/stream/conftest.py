"""A Redis for the units that speak to one: the imitation, and a real server where there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis


@pytest.fixture(params=["imitation", pytest.param("real", marks=pytest.mark.redis)])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """An empty Redis, once imitated and once real."""
    if request.param == "imitation":
        async with FakeAsyncRedis() as fake:
            yield fake
        return
    async with Redis.from_url(request.getfixturevalue("redis_url")) as real:
        yield real
