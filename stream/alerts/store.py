"""Alerts in Redis: one pipeline a micro-batch, one atomic script a match."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from stream.alerts.evidence import (
    EVIDENCE_EVENTS,
    SEVERITY_RANKS,
    condition_of,
    evidence,
    fingerprint,
    rule_labels,
)
from stream.config.settings import Alerting
from stream.names import Keys
from stream.records import DECODE_ERRORS, Alert, Scored, decode_alert
from stream.signals.windows import span_us, time_us

if TYPE_CHECKING:  # as in evidence.py
    from stream.rules.rule_set import Match

JSON_FIELDS = {"evidence", "signal", "labels", "handling", "ended_by"}
"""Fields of an alert's hash that hold JSON; the others hold plain text."""

PAGE = 500
LOOKED_AT = 500

_json = msgspec.json.Encoder().encode


class Raised(NamedTuple):
    """The transition each match caused, in order; None where it caused none.

    turn is the place of the call in the order of all workers.
    """

    transitions: list[Alert | None]
    turn: int


class AlertStore:
    """What workers write and commands read. Redis errors come through as redis-py raises them."""

    def __init__(self, redis: Redis, keys: Keys, alerting: Alerting) -> None:
        self._redis = redis
        self._keys = keys
        self._alerting = alerting
        scripts = files("stream") / "scripts"
        self._scripts = [
            (scripts / name).read_text() for name in ("next_turn.lua", "raise_alert.lua")
        ]
        self._digests: list[str] = []

    async def raise_alerts(self, matches: Sequence[tuple[Scored, Match]]) -> Raised:
        """Bring the verdicts in, in order, with none of another worker's in between.

        A redelivered event repeats its first transition.
        """
        if not self._digests:
            await self._load()
        calls = [self._arguments(scored, match) for scored, match in matches]
        try:
            turn, *transitions = await self._call(calls)
        except NoScriptError:  # Redis was restarted; calls that went through repeat themselves
            await self._load()
            turn, *transitions = await self._call(calls)
        return Raised(
            [decode_alert(transition) if transition else None for transition in transitions],
            int(turn),
        )

    async def list_open(
        self, limit: int | None = None, keeps: Callable[[Alert], bool] = lambda _: True
    ) -> list[Alert]:
        """Open alerts that it keeps, the latest event first. Expired ids are dropped for good."""
        # All ids at once: while pages are read, alerts move in the set, past the page or into it.
        ids: list[Any] = await self._redis.zrevrange(self._keys.alerts_open, 0, -1)
        page = min(limit or PAGE, PAGE)
        kept: list[Alert] = []
        for start in range(0, len(ids), page):
            names = [alert_id.decode() for alert_id in ids[start : start + page]]
            found = await self._read([self._keys.alert(name) for name in names])
            gone = [name for name, alert in zip(names, found, strict=True) if alert is None]
            if gone:
                await forget_open(self._redis, self._keys, *gone)
            # What ended while the others were read is open no more.
            kept.extend(one for one in found if one and one.state != "resolved" and keeps(one))
            if limit is not None and len(kept) >= limit:
                break
        return kept[:limit]

    async def list_all(self, keeps: Callable[[Alert], bool]) -> list[Alert]:
        """Alerts that it keeps, open or resolved, as long as Redis has them; the latest first."""
        kept: dict[str, Alert] = {}
        cursor = 0
        while True:
            found: tuple[int, list[Any]] = await self._redis.scan(
                cursor, match=f"{_literal(self._keys.alert(''))}*", count=PAGE, _type="hash"
            )
            cursor = found[0]
            for alert in await self._read([name.decode() for name in found[1]]):
                if alert is not None and keeps(alert):
                    kept[alert.id] = alert
            if cursor == 0:
                return sorted(kept.values(), key=lambda alert: alert.last_seen, reverse=True)

    async def list_like(self, alert: Alert, limit: int) -> list[Alert]:
        """Others of its rule or subject: those of both first, and then the latest first.

        Looks at the episodes just before and after it, at the LOOKED_AT open alerts and the
        LOOKED_AT transitions that were the latest, and not at all there are.
        """
        near = range(max(alert.episode - limit, 1), alert.episode + limit + 1)
        ids = [f"{alert.fingerprint}-{episode}" for episode in near]
        opened: list[Any] = await self._redis.zrevrange(self._keys.alerts_open, 0, LOOKED_AT - 1)
        ids += [alert_id.decode() for alert_id in opened]
        entries: Any = await self._redis.xrevrange(self._keys.alerts_stream, count=LOOKED_AT)
        passed = (transition_of(fields) for _, fields in entries)
        ids += [one.id for one in passed if one and _kinship(one, alert)]
        others = [self._keys.alert(one) for one in dict.fromkeys(ids) if one != alert.id]
        found = [one for one in await self._read(others) if one and _kinship(one, alert)]
        found.sort(key=lambda one: (_kinship(one, alert), one.last_seen), reverse=True)
        return found[:limit]

    async def get(self, alert_id: str) -> Alert | None:
        fields = await self._redis.hgetall(self._keys.alert(alert_id))
        return alert_from_hash(fields) if fields else None

    async def missing(self, alert_ids: Sequence[str]) -> list[str]:
        """Which of these alerts Redis does not have."""
        gone: list[str] = []
        for some in (alert_ids[at : at + PAGE] for at in range(0, len(alert_ids), PAGE)):
            async with self._redis.pipeline(transaction=False) as pipeline:
                for alert_id in some:
                    pipeline.exists(self._keys.alert(alert_id))
                found = await pipeline.execute()
            gone += [name for name, there in zip(some, found, strict=True) if not there]
        return gone

    async def _read(self, keys: Sequence[str]) -> list[Alert | None]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            found = await pipeline.execute()
        return [alert_from_hash(fields) if fields else None for fields in found]

    async def _load(self) -> None:
        self._digests = [await self._redis.script_load(script) for script in self._scripts]

    async def _call(self, calls: Sequence[tuple[list[str], list[Any]]]) -> list[Any]:
        """The turn, and what each call gave."""
        next_turn, raise_alert = self._digests
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.evalsha(next_turn, 1, self._keys.turn, time.time_ns() // 1_000)
            for keys, arguments in calls:
                pipeline.evalsha(raise_alert, len(keys), *keys, *arguments)
            return await pipeline.execute()

    def _arguments(self, scored: Scored, match: Match) -> tuple[list[str], list[Any]]:
        keys, rule = self._keys, match.rule
        mark = fingerprint(rule.name, match.subject)
        places = [
            # The origin's topic tells apart events of two sources that use the same ids.
            keys.judged(mark, f"{scored.origin.topic}:{scored.id}"),
            keys.fingerprint(mark),
            keys.alerts_open,
            keys.alerts_stream,
            keys.lasting(match.subject),
            keys.alerts_quiet,
        ]
        quiet_us = span_us(rule.quiet_s or self._alerting.quiet_s)
        seen = ["repeats" if match.repeats else match.outcome, mark, time_us(scored.time)]
        if match.outcome == "fails":  # ends a wait at most
            replay_s = self._alerting.replay_s
            return places, [*seen, rule.name, quiet_us, keys.alert(""), replay_s]
        decided: dict[str, Any] = {
            "rule": rule.name,
            "rule_version": rule.version,
            "condition": condition_of(match),
            "subject": match.subject,
            "signal": match.signal,
            "model": scored.model,
        }
        if match.outcome == "holds":
            decided |= {"title": match.title, "summary": match.summary}
        pairs = [
            part
            for name, value in decided.items()
            for part in (name, value if isinstance(value, str) else _json(value))
        ]
        return places, [
            *seen,
            _iso(scored.time),
            quiet_us,
            span_us(rule.for_s),
            span_us(rule.cooldown_s),
            rule.severity,
            SEVERITY_RANKS[rule.severity],
            _json(evidence(scored)),
            b"," + _json(rule_labels(match))[1:-1],
            b"," + _json(decided)[1:-1],
            self._alerting.keep_s,
            self._alerting.replay_s,
            self._alerting.stream_length,
            keys.alert(""),
            keys.alerts_live,
            EVIDENCE_EVENTS,
            rule.name,
            *pairs,
        ]


def absent(alert_id: str) -> str:
    """What to say to somebody who asks for an alert that Redis does not have."""
    return (
        f"alert {alert_id!r} is not in Redis; it never was, or alerting.keep_s is over "
        "(`bellwether alerts list` shows the open ones)"
    )


def _kinship(one: Alert, other: Alert) -> int:
    """2 for the same rule and subject, 1 for one of them, 0 for neither."""
    return (one.rule == other.rule) + (one.subject == other.subject)


def alert_from_hash(fields: Any) -> Alert:
    values: dict[str, Any] = {name.decode(): value.decode() for name, value in fields.items()}
    for name in JSON_FIELDS & values.keys():
        values[name] = msgspec.json.decode(values[name])
    return msgspec.convert(values, Alert, strict=False)


async def forget_open(redis: Redis, keys: Keys, *expired: str | bytes) -> None:
    """Drop ids of alerts that Redis has no more from the sets of open ones."""
    for places in (keys.alerts_open, keys.alerts_quiet):
        await redis.zrem(places, *expired)


def transition_of(fields: Any) -> Alert | None:
    """What an entry of the alert stream says; None where it is no transition of ours."""
    try:
        return decode_alert(fields[b"alert"])
    except (KeyError, *DECODE_ERRORS):
        return None


def _literal(text: str) -> str:
    """As a part of a Redis pattern."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)


def _iso(time: datetime) -> str:
    return _json(time).decode().strip('"')
