"""One holder per deployment: a lease in Redis that ends by itself when its holder dies."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from importlib.resources import files

import msgspec
from redis.asyncio import Redis

LEASE_S = 10.0
"""How long a deployment may be without a holder after one was killed."""
RENEW_S = LEASE_S / 4


class Lease:
    """hold() takes or renews it; write() writes only for the holder, so that a late one can't."""

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._key = key
        self._token = secrets.token_hex(16)
        scripts = files("stream") / "scripts"
        self._hold = redis.register_script((scripts / "hold_lease.lua").read_text())
        self._write = redis.register_script((scripts / "write_if_held.lua").read_text())

    async def hold(self) -> bool:
        return bool(await self._hold(keys=[self._key], args=[self._token, round(LEASE_S * 1000)]))

    async def write(self, commands: Sequence[Sequence[str]]) -> bool:
        """All commands at once, or none and False where another holds the lease."""
        content = msgspec.json.encode(commands)
        return bool(await self._write(keys=[self._key], args=[self._token, content]))

    async def give_up(self) -> None:
        await self.write([["DEL", self._key]])
