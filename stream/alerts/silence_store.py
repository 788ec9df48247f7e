"""Silences in Redis: make, list, end, and see beforehand what one would hide."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from redis.asyncio import Redis

from stream.alerts.matchers import Matcher, all_hold, labels_of
from stream.alerts.silences import AbsentSilenceError, Silence, SilenceError, check
from stream.alerts.store import transition_of
from stream.config.durations import LONGEST_S
from stream.names import Keys
from stream.records import Alert, utc_now

MAX_SILENCES = 1_000
MAX_AHEAD_S = LONGEST_S
PREVIEW_S = 3_600
PREVIEW_PAGE = 1_000
PREVIEW_EXAMPLES = 5


class Preview(msgspec.Struct, frozen=True):
    """How many alerts a silence would have hidden since a time, of how many there were.

    complete is False where the Redis stream no longer reaches back so far.
    """

    hidden: int
    alerts: int
    since: datetime
    complete: bool
    examples: tuple[Alert, ...]


class SilenceStore:
    """Silences in Redis. Redis errors come through as redis-py raises them."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def create(
        self,
        matchers: Sequence[Matcher],
        *,
        author: str,
        reason: str,
        lasts_s: int,
        starts: datetime | None = None,
    ) -> Silence:
        """One that lasts from starts on, at most MAX_AHEAD_S ahead, or from now on.

        Raises SilenceError where it hides everything, gives no reason or starts in the past or too
        late, and for too many.
        """
        check(matchers)
        if not reason.strip():
            raise SilenceError(
                "a silence needs a reason, for those who will wonder why they were not told; "
                "give one with --comment"
            )
        if len(await self.listed()) >= MAX_SILENCES:
            raise SilenceError(f"there are {MAX_SILENCES} silences already; end some first")
        now = utc_now()
        ahead_s = (starts - now).total_seconds() if starts else 0.0
        if starts and not 0 < ahead_s <= MAX_AHEAD_S:
            raise SilenceError(
                "a silence starts later than now and within 366 days, not at "
                f"{starts:%Y-%m-%d %H:%M} UTC; leave --from out for one that starts now"
            )
        silence = Silence(
            id=secrets.token_hex(4),
            matchers=tuple(str(matcher) for matcher in matchers),
            author=author,
            reason=reason,
            created=now,
            expiry=(starts or now) + timedelta(seconds=lasts_s),
            starts=starts,
            to_come=starts is not None,
        )
        fields = msgspec.to_builtins(silence)
        fields["matchers"] = msgspec.json.encode(silence.matchers)
        del fields["to_come"]
        if starts is None:
            del fields["starts"]
        async with self._redis.pipeline() as transaction:
            key = self._keys.silence(silence.id)
            transaction.hset(key, mapping=fields)
            transaction.pexpire(key, round((ahead_s + lasts_s) * 1000))
            transaction.zadd(self._keys.silences, {silence.id: silence.expiry.timestamp()})
            await transaction.execute()
        return silence

    async def end(self, silence_id: str) -> Silence:
        """The silence as it stood at its end. Raises SilenceError where there is none."""
        ((fields, left_ms),) = await self._read([silence_id])
        if not fields:
            raise AbsentSilenceError(
                f"silence {silence_id!r} is not in force; `bellwether alerts silences` lists those "
                "that are"
            )
        async with self._redis.pipeline() as transaction:
            transaction.delete(self._keys.silence(silence_id))
            transaction.zrem(self._keys.silences, silence_id)
            await transaction.execute()
        return _from_hash(fields, left_ms)

    async def listed(self) -> list[Silence]:
        """Silences in force and to come, the one that ends first before the others."""
        ids: list[Any] = await self._redis.zrange(self._keys.silences, 0, -1)
        found = await self._read([silence_id.decode() for silence_id in ids])
        over = [
            silence_id for silence_id, (fields, _) in zip(ids, found, strict=True) if not fields
        ]
        if over:
            await self._redis.zrem(self._keys.silences, *over)
        return [_from_hash(fields, left_ms) for fields, left_ms in found if fields]

    async def _read(self, ids: Sequence[str]) -> list[tuple[Any, int]]:
        """The hash of each, and for how many milliseconds Redis still keeps it."""
        async with self._redis.pipeline() as pipeline:
            for silence_id in ids:
                pipeline.hgetall(self._keys.silence(silence_id))
                pipeline.pttl(self._keys.silence(silence_id))
            answers = await pipeline.execute()
        return list(zip(answers[::2], answers[1::2], strict=True))

    async def preview(self, matchers: Sequence[Matcher], *, since: datetime) -> Preview:
        """How many of the alerts with a transition since then the matchers would hide."""
        check(matchers)
        begin = f"{since.timestamp() * 1000:.0f}-0"
        latest: dict[str, Alert] = {}
        while entries := await self._entries(begin, PREVIEW_PAGE):
            for _, fields in entries:
                if alert := transition_of(fields):
                    latest[alert.id] = alert
            begin = f"({entries[-1][0].decode()}"
        first = await self._entries("-", 1)
        began = int(first[0][0].partition(b"-")[0]) / 1000 if first else 0.0
        hidden = [alert for alert in latest.values() if all_hold(matchers, labels_of(alert))]
        return Preview(
            hidden=len(hidden),
            alerts=len(latest),
            since=since,
            complete=not first or began <= since.timestamp() or await self._untrimmed(),
            examples=tuple(hidden[-PREVIEW_EXAMPLES:]),
        )

    async def _entries(self, begin: str, count: int) -> list[Any]:
        stream = self._keys.alerts_stream
        return list(await self._redis.xrange(stream, min=begin, count=count) or ())

    async def _untrimmed(self) -> bool:
        info = await self._redis.xinfo_stream(self._keys.alerts_stream)
        # Redis before 7 does not tell; then what it still has is taken for all there was.
        return bool(info.get("entries-added", info["length"]) == info["length"])


def _from_hash(fields: Any, left_ms: int) -> Silence:
    values: dict[str, Any] = {name.decode(): value.decode() for name, value in fields.items()}
    values["matchers"] = msgspec.json.decode(values["matchers"])
    silence = msgspec.convert(values, Silence, strict=False)
    if silence.starts is None:
        return silence
    lasts_ms = (silence.expiry - silence.starts).total_seconds() * 1000
    return msgspec.structs.replace(silence, to_come=left_ms > lasts_ms)
