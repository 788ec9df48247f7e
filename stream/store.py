"""Alerts in Redis: one pipeline a micro-batch, one atomic script a match."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from stream.alerts import EVIDENCE_EVENTS, evidence, fingerprint
from stream.names import Keys
from stream.records import Alert, Scored, decode_alert
from stream.rules import Match
from stream.settings import Alerting

SEVERITY_RANKS = {"info": 0, "warning": 1, "critical": 2}

_json = msgspec.json.Encoder().encode


class AlertStore:
    """What workers write and commands read. Redis errors come through as redis-py raises them."""

    def __init__(self, redis: Redis, keys: Keys, alerting: Alerting) -> None:
        self._redis = redis
        self._keys = keys
        self._alerting = alerting
        source = (files("stream") / "scripts" / "raise_alert.lua").read_text()
        self._script = source
        self._digest = ""

    async def raise_alerts(self, matches: Sequence[tuple[Scored, Match]]) -> list[Alert]:
        """The transition each match caused, in order. A redelivered event repeats its first one."""
        if not self._digest:
            self._digest = await self._redis.script_load(self._script)
        calls = [self._arguments(scored, match) for scored, match in matches]
        try:
            transitions = await self._call(calls)
        except NoScriptError:  # Redis was restarted; calls that went through repeat themselves
            self._digest = await self._redis.script_load(self._script)
            transitions = await self._call(calls)
        return [decode_alert(transition) for transition in transitions]

    async def list_open(self, limit: int) -> list[Alert]:
        """Open alerts, the latest event first. Ids whose alert has expired are dropped for good."""
        while True:
            ids: list[Any] = await self._redis.zrevrange(self._keys.alerts_open, 0, limit - 1)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for alert_id in ids:
                    pipeline.hgetall(self._keys.alert(alert_id.decode()))
                found = await pipeline.execute()
            gone = [alert_id for alert_id, fields in zip(ids, found, strict=True) if not fields]
            if not gone:
                return [_from_hash(fields) for fields in found]
            await self._redis.zrem(self._keys.alerts_open, *gone)

    async def get(self, alert_id: str) -> Alert | None:
        fields = await self._redis.hgetall(self._keys.alert(alert_id))
        return _from_hash(fields) if fields else None

    async def _call(self, calls: Sequence[tuple[list[str], list[Any]]]) -> list[bytes]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for keys, arguments in calls:
                pipeline.evalsha(self._digest, len(keys), *keys, *arguments)
            return await pipeline.execute()

    def _arguments(self, scored: Scored, match: Match) -> tuple[list[str], list[Any]]:
        keys = self._keys
        mark = fingerprint(match.rule.name, match.subject)
        decided: dict[str, Any] = {
            "rule": match.rule.name,
            "rule_version": match.rule.version,
            "subject": match.subject,
            "title": match.title,
            "summary": match.summary,
            "signal": {},
            "model": scored.model,
        }
        pairs = [
            part
            for name, value in decided.items()
            for part in (name, value if isinstance(value, str) else _json(value))
        ]
        at_us = round(scored.time.timestamp() * 1_000_000)
        return [
            # The origin's topic tells apart events of two sources that use the same ids.
            keys.judged(mark, f"{scored.origin.topic}:{scored.id}"),
            keys.fingerprint(mark),
            keys.alerts_open,
            keys.alerts_stream,
        ], [
            mark,
            at_us,
            _iso(scored.time),
            match.rule.severity,
            SEVERITY_RANKS[match.rule.severity],
            _json(evidence(scored)),
            b"," + _json(decided)[1:-1],
            round(self._alerting.quiet_s * 1_000_000),
            self._alerting.keep_s,
            self._alerting.replay_s,
            self._alerting.stream_length,
            keys.alert(""),
            keys.alerts_live,
            EVIDENCE_EVENTS,
            *pairs,
        ]


def _from_hash(fields: Any) -> Alert:
    values: dict[str, Any] = {name.decode(): value.decode() for name, value in fields.items()}
    for name in ("evidence", "signal"):
        values[name] = msgspec.json.decode(values[name])
    return msgspec.convert(values, Alert, strict=False)


def _iso(time: datetime) -> str:
    return _json(time).decode().strip('"')
