"""How each receiver of notifications takes what it is sent, as the notifier has written it down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis

from stream.names import Keys


class ReceiverState(msgspec.Struct, frozen=True):
    """Notifications sent and given up, the last error, and what is wrong now with its beginning.

    Times are ISO 8601; trouble is empty while the receiver takes what it is sent.
    """

    name: str
    sent: int
    failed: int
    error: str
    failed_at: str
    trouble: str
    trouble_since: str


async def receivers_of(redis: Redis, keys: Keys) -> list[ReceiverState]:
    """Those of the routing file in force, by name."""
    kept_names: Any = await redis.smembers(keys.receivers)
    names = sorted(name.decode() for name in kept_names)
    async with redis.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.hgetall(keys.receiver(name))
        kept = await pipeline.execute()
    return [_state(name, fields) for name, fields in zip(names, kept, strict=True)]


def _state(name: str, fields: Mapping[bytes, bytes]) -> ReceiverState:
    words = {key.decode(): value.decode(errors="replace") for key, value in fields.items()}
    return ReceiverState(
        name=name,
        sent=int(words.get("sent", 0)),
        failed=int(words.get("failed", 0)),
        error=words.get("error", ""),
        failed_at=words.get("failed_at", ""),
        trouble=words.get("trouble", ""),
        trouble_since=words.get("trouble_since", ""),
    )
