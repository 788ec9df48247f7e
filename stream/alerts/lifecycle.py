"""The life of an alert after it fired: people's changes, silences, and the end by quiet.

One script decides each change, so it is atomic, happens once, and never goes against the lifecycle.
"""

from __future__ import annotations

import time
from datetime import datetime
from importlib.resources import files
from typing import Any, Literal

import msgspec
from redis.asyncio import Redis

from stream.alerts.store import JSON_FIELDS, absent, forget_open
from stream.config.settings import Alerting
from stream.names import Keys
from stream.records import Alert, decode_alert, utc_now

Action = Literal[
    "acknowledge", "assign", "comment", "resolve", "expire", "silence", "unsilence", "flap"
]

MAX_COMMENT_CHARS = 2_000
SWEEP_ALERTS = 500
SWEEPER = "bellwether"
"""Who ends an alert by quiet and marks it as flapping, in its history."""

# Numbers and JSON go into a transition as they stand in the hash, text as a JSON string.
_RAW = JSON_FIELDS | {"episode", "sequence", "count"}
_KINDS = [
    part
    for field in msgspec.structs.fields(Alert)
    for part in (field.name, "json" if field.name in _RAW else "text")
]


class LifecycleError(Exception):
    """A change that an alert does not allow; the message says why."""


class AbsentAlertError(LifecycleError):
    """A change of an alert that is not there."""


class Entry(msgspec.Struct, frozen=True):
    """One line of an alert's history. detail is the assignee or the silence."""

    sequence: int
    action: str
    state: str
    by: str
    at: datetime
    comment: str = ""
    detail: str = ""


class Change(msgspec.Struct, frozen=True):
    """The alert after a change; changed is False where it was so already.

    A comment given with what was so already is kept, and then the alert's last change is that.
    """

    changed: bool
    alert: Alert


class Lifecycle:
    """Changes alerts in Redis. Redis errors come through as redis-py raises them."""

    def __init__(self, redis: Redis, keys: Keys, alerting: Alerting) -> None:
        self._redis = redis
        self._keys = keys
        self._alerting = alerting
        source = (files("stream") / "scripts" / "change_alert.lua").read_text()
        self._script = redis.register_script(source)

    async def acknowledge(self, alert_id: str, *, by: str, comment: str = "") -> Change:
        return await self._person("acknowledge", alert_id, by=by, comment=comment)

    async def assign(self, alert_id: str, *, to: str, by: str, comment: str = "") -> Change:
        return await self._person("assign", alert_id, by=by, comment=comment, detail=to)

    async def comment(self, alert_id: str, text: str, *, by: str) -> Change:
        return await self._person("comment", alert_id, by=by, comment=text)

    async def resolve(self, alert_id: str, *, by: str, comment: str = "") -> Change:
        return await self._person("resolve", alert_id, by=by, comment=comment)

    async def silence(self, alert_id: str, silence_id: str, *, by: str, reason: str) -> bool:
        """Say that a silence hides the alert. False where that was said, or the silence is over."""
        answer = await self._change("silence", alert_id, by=by, comment=reason, detail=silence_id)
        return bool(answer[0] == b"changed")

    async def unsilence(self, alert_id: str, silence_id: str) -> bool:
        """Say that the silence hides the alert no longer. False where that was said."""
        why = f"silence {silence_id} is over"
        answer = await self._change(
            "unsilence", alert_id, by=SWEEPER, comment=why, detail=silence_id
        )
        return bool(answer[0] == b"changed")

    async def mark_flapping(self, alert_id: str, reason: str) -> bool:
        answer = await self._change("flap", alert_id, by=SWEEPER, comment=reason)
        return bool(answer[0] == b"changed")

    async def resolve_quiet(self, now: float | None = None) -> int:
        """Resolve open alerts that have been quiet; how many this call resolved.

        Quiet is what the alert's rule says, else alerting.quiet_s, since the last event in event
        time, as it is now in epoch seconds, and since the last transition by the clock of Redis:
        neither a replay of old records nor a clock of ours that is ahead resolves what is alive.
        Any number of workers may call it; each alert is resolved once.
        """
        now = time.time() if now is None else now
        resolved, start = 0, 0
        while True:
            found: list[Any] = await self._redis.zrange(
                self._keys.alerts_quiet,
                "-inf",
                now,
                byscore=True,
                offset=start,
                num=SWEEP_ALERTS,
            )
            for alert_id in found:
                answer = await self._change("expire", alert_id.decode(), by=SWEEPER, now=now)
                if answer[0] == b"changed":
                    resolved += 1
                elif answer[0] == b"absent":
                    await forget_open(self._redis, self._keys, alert_id)
                else:
                    start += 1
            if len(found) < SWEEP_ALERTS:
                return resolved

    async def history(self, alert_id: str) -> list[Entry]:
        lines: list[Any] = await self._redis.lrange(self._keys.history(alert_id), 0, -1)
        return [msgspec.json.decode(line, type=Entry) for line in lines]

    async def _person(
        self, action: Action, alert_id: str, *, by: str, comment: str, detail: str = ""
    ) -> Change:
        if len(comment) > MAX_COMMENT_CHARS:
            raise LifecycleError(f"the comment is longer than {MAX_COMMENT_CHARS:,} characters")
        answer = await self._change(action, alert_id, by=by, comment=comment, detail=detail)
        if answer[0] == b"absent":
            raise AbsentAlertError(absent(alert_id))
        if answer[0] == b"resolved":
            raise LifecycleError(
                f"can't {action} alert {alert_id!r}: it is resolved; if its subject has trouble "
                "again, that is a new alert"
            )
        return Change(answer[0] == b"changed", decode_alert(answer[1]))

    async def _change(
        self,
        action: Action,
        alert_id: str,
        *,
        by: str,
        comment: str = "",
        detail: str = "",
        now: float | None = None,
    ) -> list[bytes]:
        keys = self._keys
        answer: list[bytes] = await self._script(
            keys=[
                keys.alert(alert_id),
                keys.history(alert_id),
                keys.alerts_open,
                keys.alerts_stream,
                keys.silence(detail),
                keys.alerts_quiet,
                keys.fingerprint(alert_id.rpartition("-")[0]),
            ],
            args=[
                action,
                by,
                utc_now().isoformat(timespec="milliseconds"),
                comment,
                detail,
                f"{time.time() if now is None else now:.3f}",
                self._alerting.keep_s,
                self._alerting.stream_length,
                keys.alerts_live,
                *_KINDS,
            ],
        )
        return answer
