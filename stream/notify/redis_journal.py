"""What the notifier knows, in Redis: position, groups, what is under way, why alerts are hidden."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream.alerts.lifecycle import Lifecycle
from stream.alerts.silence_store import SilenceStore
from stream.alerts.silences import Silence
from stream.alerts.store import AlertStore, transition_of
from stream.config.settings import Alerting
from stream.connections.lease import Lease
from stream.names import Keys
from stream.notify.delivery import Trouble
from stream.notify.group import Group, Member, Write
from stream.notify.grouping import Groups
from stream.notify.journal import JournalError, Known, Page
from stream.records import Alert, utc_now

START = "0-0"
PAGE = 500
TROUBLE = ("trouble", "trouble_since")
"""Fields of a receiver's hash while it does not take what it is sent."""

_json = msgspec.json.Encoder().encode

logger = logging.getLogger(__name__)


class RedisJournal:
    """stream.notify.journal.Journal over Redis; every Redis error is a JournalError."""

    def __init__(self, redis: Redis, keys: Keys, alerting: Alerting) -> None:
        self._redis = redis
        self._keys = keys
        self._alerting = alerting
        self._lease = Lease(redis, keys.notify("lease"))
        self._lifecycle = Lifecycle(redis, keys, alerting)
        self._silences = SilenceStore(redis, keys)
        self._store = AlertStore(redis, keys, alerting)
        self._noted: dict[str, str] = {}

    async def lead(self) -> bool:
        async with _errors():
            return await self._lease.hold()

    async def resign(self) -> None:
        async with _errors():
            await self._lease.give_up()

    async def load(self) -> Known:
        """Everything as the last commit left it."""
        groups = Groups()
        async with _errors():
            position: Any = await self._redis.get(self._keys.notify("position"))
            keys: Any = await self._redis.smembers(self._keys.notify("groups"))
            for key in keys:
                name = self._keys.notify(f"group:{key.decode()}")
                fields: Any = await self._redis.hgetall(name)
                if not fields:
                    continue
                group = msgspec.json.decode(fields.pop(b""), type=Group)
                groups.restore(
                    group,
                    {
                        alert_id.decode(): msgspec.json.decode(content, type=Member)
                        for alert_id, content in fields.items()
                    },
                )
            hidden: Any = await self._redis.hgetall(self._keys.notify("hidden"))
        reasons = {alert_id.decode(): reason.decode() for alert_id, reason in hidden.items()}
        return Known(position.decode() if position else START, groups, reasons)

    async def read(self, position: str) -> Page:
        """The next transitions; where the capped stream lost some, the open alerts instead."""
        stream = self._keys.alerts_stream
        async with _errors():
            if position != START and not await self._redis.xrange(stream, position, position):
                # Redis numbers entries by its clock: an emptied stream goes on with higher ids.
                last: Any = await self._redis.xrevrange(stream, count=1)
                if last:
                    return Page(last[0][0].decode(), await self.open_alerts(), lost=True)
            entries: Any = await self._redis.xrange(stream, f"({position}", "+", count=PAGE)
        if not entries:
            return Page(position, [], lost=False)
        alerts = [alert for _, fields in entries if (alert := transition_of(fields))]
        if len(alerts) < len(entries):
            logger.warning(
                "%d entries of %s are no transitions and are passed over; something else writes "
                "there",
                len(entries) - len(alerts),
                stream,
            )
        return Page(entries[-1][0].decode(), alerts, lost=False)

    async def commit(
        self, position: str, writes: Sequence[Write], hidden: Mapping[str, str]
    ) -> bool:
        """All at once; hidden maps alerts to why they are, or to "". False: another leads."""
        commands: list[list[str]] = [["SET", self._keys.notify("position"), position]]
        for write in writes:
            commands.extend(self._of_group(write))
        for alert_id, reason in hidden.items():
            key = self._keys.notify("hidden")
            commands.append(["HSET", key, alert_id, reason] if reason else ["HDEL", key, alert_id])
        async with _errors():
            return await self._lease.write(commands)

    async def count(self, receiver: str, *, error: str) -> None:
        """Count a notification that ended, without an error as sent, with one as failed."""
        key = self._keys.receiver(receiver)
        async with _errors(), self._redis.pipeline() as transaction:
            transaction.hincrby(key, "failed" if error else "sent", 1)
            if error:
                transaction.hset(key, mapping={"error": error, "failed_at": _ago(0.0)})
            await transaction.execute()

    async def name_receivers(self, receivers: Collection[str]) -> None:
        """Those there are now, of which none is in trouble yet."""
        async with _errors(), self._redis.pipeline() as transaction:
            transaction.delete(self._keys.receivers)
            for name in receivers:
                transaction.sadd(self._keys.receivers, name)
                transaction.hdel(self._keys.receiver(name), *TROUBLE)
            await transaction.execute()
        self._noted = dict.fromkeys(receivers, "")

    async def note_troubles(self, troubles: Mapping[str, Trouble]) -> None:
        """Which receivers take nothing now, for whoever looks from elsewhere; only what is new."""
        for receiver, said in self._noted.items():
            trouble = troubles.get(receiver)
            reason = trouble.reason if trouble else ""
            if reason == said:
                continue
            key = self._keys.receiver(receiver)
            async with _errors():
                if trouble:
                    since = _ago(time.monotonic() - trouble.since)
                    found: Any = dict(zip(TROUBLE, (reason, since), strict=True))
                    await self._redis.hset(key, mapping=found)
                else:
                    await self._redis.hdel(key, *TROUBLE)
            self._noted[receiver] = reason

    async def silences(self) -> list[Silence]:
        async with _errors():
            return await self._silences.listed()

    async def open_alerts(self) -> list[Alert]:
        async with _errors():
            return await self._store.list_open()

    async def gone(self, alert_ids: Sequence[str]) -> list[str]:
        """Which of these alerts Redis has no more: nobody can end them."""
        async with _errors():
            return await self._store.missing(alert_ids)

    async def say_silenced(self, alert_id: str, silence: Silence) -> None:
        async with _errors():
            await self._lifecycle.silence(
                alert_id, silence.id, by=silence.author, reason=silence.reason
            )

    async def say_unsilenced(self, alert_id: str, silence_id: str) -> None:
        async with _errors():
            await self._lifecycle.unsilence(alert_id, silence_id)

    async def mark_flapping(self, alerts: Sequence[Alert]) -> set[str]:
        """Note an episode of each; those marked whose fingerprint came too often lately."""
        if not alerts:
            return set()
        window_s = self._alerting.flapping_window_s
        lasts_s = max(self._alerting.keep_s, math.ceil(window_s))
        async with _errors():
            # One round trip: a rule may raise a thousand alerts at once.
            async with self._redis.pipeline(transaction=False) as pipeline:
                for alert in alerts:
                    key = self._keys.notify(f"episodes:{alert.fingerprint}")
                    at = alert.first_seen.timestamp()
                    # Not by its number, which begins anew where Redis has forgotten the one before.
                    pipeline.zadd(key, {alert.first_seen.isoformat(): at})
                    pipeline.zremrangebyscore(key, "-inf", at - window_s)
                    pipeline.zcard(key)
                    pipeline.expire(key, lasts_s)
                episodes = (await pipeline.execute())[2::4]
            flapping = set()
            for alert, count in zip(alerts, episodes, strict=True):
                if count >= self._alerting.flapping_episodes:
                    reason = f"{count} episodes in {window_s:g} s"
                    await self._lifecycle.mark_flapping(alert.id, reason)
                    flapping.add(alert.id)
            return flapping

    def _of_group(self, write: Write) -> list[list[str]]:
        index, key = self._keys.notify("groups"), self._keys.notify(f"group:{write.key}")
        if write.group is None:
            return [["DEL", key], ["SREM", index, write.key]]
        commands = [
            ["SADD", index, write.key],
            ["HSET", key, "", _json(write.group).decode()],
            *(["HSET", key, name, _json(one).decode()] for name, one in write.members.items()),
        ]
        gone = sorted(write.gone)
        # In parts, since a script can't unpack 8,000 arguments.
        parts = (gone[start : start + PAGE] for start in range(0, len(gone), PAGE))
        return [*commands, *(["HDEL", key, *part] for part in parts)]


def _ago(seconds: float) -> str:
    return (utc_now() - timedelta(seconds=seconds)).isoformat()


@asynccontextmanager
async def _errors() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise JournalError(f"{type(error).__name__}: {error}") from error
