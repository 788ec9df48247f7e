"""Live updates: the stream of alert transitions in Redis to every open page, as server-sent events.

A page that reads slowly gets the latest of each alert instead of every step, and beyond MAX_PENDING
alerts the word to load the list again, so that no viewer costs more memory than that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream.alerts.silence_store import SilenceStore
from stream.alerts.silences import ActiveSilences, Silence
from stream.alerts.store import transition_of
from stream.console.alert_rows import row_of
from stream.names import Keys
from stream.records import utc_now
from stream.runtime.backoff import Backoff
from stream.runtime.tasks import end

logger = logging.getLogger(__name__)

MAX_VIEWERS = 200
MAX_PENDING = 1_000
POLL_S = 0.1
"""Less than pages wait anyway; a blocking read would fight with redis.timeout_s."""
READ_TOGETHER = 500
SILENCES_EVERY_S = 5.0
RELOAD = "reload"


class Viewer:
    """One open page: what it has not been sent yet, by alert, the latest only."""

    def __init__(self) -> None:
        self._pending: dict[str, bytes] = {}
        self._some = asyncio.Event()
        self.closed = False

    def offer(self, key: str, frame: bytes) -> None:
        if len(self._pending) >= MAX_PENDING and key not in self._pending:
            # What is no alert is said once, and the list does not have it.
            others = {name: one for name, one in self._pending.items() if not is_alert(name)}
            self._pending = {**others, RELOAD: frame_of(RELOAD, {})}
        # A list that is loaded anew after this has the alert already.
        if RELOAD not in self._pending or not is_alert(key):
            self._pending[key] = frame
        self._some.set()

    async def take(self, timeout_s: float) -> bytes:
        """All that is pending, as a piece of an event stream; empty when the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._some.wait()
        except TimeoutError:
            return b""
        self._some.clear()
        pending, self._pending = self._pending, {}
        return b"".join(pending.values())

    def close(self) -> None:
        self.closed = True
        self._some.set()


class Hub:
    """Reads the stream once for all viewers. start() and stop() frame its use."""

    def __init__(self, redis: Redis, keys: Keys, kafka_fault: Callable[[], str]) -> None:
        """kafka_fault says why Kafka is away, empty while it answers."""
        self._redis = redis
        self._keys = keys
        self._store = SilenceStore(redis, keys)
        self._kafka_fault = kafka_fault
        self._viewers: set[Viewer] = set()
        self.silences = ActiveSilences()
        self._redis_fault = "not connected yet"
        self._shown: dict[str, str] = {}

    @property
    def faults(self) -> dict[str, str]:
        """What is away and why, by part; empty strings while all is well."""
        return {"redis": self._redis_fault, "kafka": self._kafka_fault()}

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._follow(), name="console-alerts"),
            asyncio.create_task(self._watch(), name="console-silences"),
        ]

    async def stop(self) -> None:
        self.close_viewers()
        for task in self._tasks:
            await end(task)

    def close_viewers(self) -> None:
        for viewer in self._viewers:
            viewer.close()

    def join(self) -> Viewer | None:
        """None when MAX_VIEWERS are there already."""
        if len(self._viewers) >= MAX_VIEWERS:
            return None
        viewer = Viewer()
        self._viewers.add(viewer)
        viewer.offer("status", frame_of("status", self.faults))
        return viewer

    def leave(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)

    def tell(self, event: str, value: Any, *, about: str = "") -> None:
        """Send an event to everyone; of one name, about the same, the latest counts."""
        self._offer(f"{event}:{about}" if about else event, frame_of(event, value))

    async def refresh_silences(self) -> list[Silence]:
        """Take over the silences, and have lists loaded again where those in force changed."""
        found = await self._store.listed()
        fresh = ActiveSilences(found)
        changed = fresh.ids != self.silences.ids
        self.silences = fresh
        if changed:
            self.tell(RELOAD, {})
        return found

    async def _follow(self) -> None:
        backoff = Backoff("Redis does not give the alerts", logger)
        last: bytes | None = None
        while True:
            try:
                if last is None or self._redis_fault:
                    last = await self._tip(last)
                    await self.refresh_silences()
                    self._set_redis_fault("")
                    backoff.reset()
                found: Any = await self._redis.xread(
                    {self._keys.alerts_stream: last}, count=READ_TOGETHER
                )
                for _, entries in found or ():
                    for entry_id, fields in entries:
                        last = entry_id
                        self._show(fields)
                if not found:
                    await asyncio.sleep(POLL_S)
            except (RedisError, OSError) as error:
                self._set_redis_fault(f"{type(error).__name__}: {error}")
                await backoff.wait(error)

    async def _tip(self, last: bytes | None) -> bytes:
        """Where to go on reading: after what was read, unless Redis lost it meanwhile."""
        newest: Any = await self._redis.xrevrange(self._keys.alerts_stream, count=1)
        tip: bytes = newest[0][0] if newest else b"0-0"
        if last is not None and _order(last) <= _order(tip):
            return last
        self.tell(RELOAD, {})
        return tip

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(SILENCES_EVERY_S)
            try:
                await self.refresh_silences()
            except (RedisError, OSError) as error:
                self._set_redis_fault(f"{type(error).__name__}: {error}")
            self._tell_status()

    def _show(self, fields: Mapping[bytes, bytes]) -> None:
        if self._viewers and (alert := transition_of(fields)):
            row = row_of(alert, self.silences, utc_now())
            self._offer(f"alert:{row.id}", frame_of("alert", row))

    def _set_redis_fault(self, fault: str) -> None:
        self._redis_fault = fault
        self._tell_status()

    def _tell_status(self) -> None:
        if (now := self.faults) != self._shown:
            self._shown = now
            self.tell("status", now)

    def _offer(self, key: str, frame: bytes) -> None:
        for viewer in self._viewers:
            viewer.offer(key, frame)


def is_alert(key: str) -> bool:
    return key.startswith("alert:")


def frame_of(event: str, value: Any) -> bytes:
    """One server-sent event; JSON holds no line end of its own."""
    return b"event: " + event.encode() + b"\ndata: " + msgspec.json.encode(value) + b"\n\n"


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
