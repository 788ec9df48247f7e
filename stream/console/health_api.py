"""The API's health: what is away, rates and times, lag, services, drift, settings in force."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from aiokafka.errors import KafkaError

from stream.console.lag import Lag, lag_of
from stream.console.operations import Call, Operation
from stream.console.receivers import ReceiverState, receivers_of
from stream.console.recent import KEPT_SCORED, Seen, latest, rate
from stream.console.services import Moved, Services
from stream.console.settings_view import Setting, shown
from stream.operations.ledger import Entry, Sign, spans
from stream.records import Scored, utc_now
from stream.runtime.errors import StartError

RATE_S = 60
GONE_SHOWN = timedelta(days=1)


class Flow(msgspec.Struct, frozen=True):
    """What the scored topic says of the workers; times in milliseconds, rates a second.

    latency runs from a record's arrival to its scores, over the kept events of the last minute, or
    the latest 200 where there were none. parts are medians of the way of an event, one after the
    other. padding is the share of what the model computed that was no token of a text.
    """

    per_second: float
    kept: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    waited_p50_ms: float | None
    parts: dict[str, float]
    batch_size: float | None
    padding: float | None
    released_by: dict[str, int]
    sources: dict[str, int]
    models: dict[str, int]
    abstained: dict[str, float]
    per_minute: list[int]


class WorkerState(msgspec.Struct, frozen=True):
    """A worker by its ledger: at work since then, seen last at that time, and what it judges by.

    gone: it gave no sign of life for three minutes and did not say that it ended.
    """

    worker: str
    gone: bool
    since: datetime
    seen: datetime
    model: str
    runs_on: str
    rules: str
    rules_from: str


class TrainerState(msgspec.Struct, frozen=True):
    """What its folder tells; a trainer on another machine is not known here.

    written is when it put something into its label log last, drift_above the setting.
    """

    written: datetime | None
    verdict: str
    verdict_at: str
    drift: list[Moved]
    drift_above: float


class HealthAnswer(msgspec.Struct, frozen=True):
    """faults says what is away and why, empty strings while all is well.

    receivers are those of notifications; none while Redis is away or nobody is told.
    """

    faults: dict[str, str]
    flow: Flow
    lag: list[Lag]
    workers: list[WorkerState]
    trainer: TrainerState
    receivers: list[ReceiverState]
    open_alerts: int | None
    viewers: int


class SettingsAnswer(msgspec.Struct, frozen=True):
    settings: list[Setting]


class _Measured(NamedTuple):
    """What costs something to find out, and is the same for everyone. fault is Kafka's."""

    flow: Flow
    lag: list[Lag]
    fault: str
    workers: list[WorkerState]
    trainer: TrainerState


async def health(call: Call) -> HealthAnswer:
    services = call.services
    faults = services.hub.faults
    # With and without Kafka apart: the first page after its return shows the lag.
    there = not faults["kafka"]
    found = await services.short_cache.answer(("health", there), lambda: _measured(services, there))
    faults["kafka"] = faults["kafka"] or found.fault
    open_alerts: int | None = None
    receivers: list[ReceiverState] = []
    if not faults["redis"]:
        open_alerts = await services.redis.zcard(services.keys.alerts_open)
        receivers = await receivers_of(services.redis, services.keys)
    return HealthAnswer(
        faults=faults,
        flow=found.flow,
        lag=found.lag,
        workers=found.workers,
        trainer=found.trainer,
        receivers=receivers,
        open_alerts=open_alerts,
        viewers=services.hub.viewers,
    )


async def _measured(services: Services, kafka_is_there: bool) -> _Measured:
    lag: list[Lag] = []
    fault = ""
    if kafka_is_there:
        try:
            lag = await lag_of(services.settings)
        except (KafkaError, StartError, OSError, TimeoutError) as error:
            fault = f"{type(error).__name__}: {error}"
    flow = flow_of(services.recent.taken(services.settings.topics.scored), utc_now())
    workers = workers_of(services.recent.ledger, utc_now())
    return _Measured(flow, lag, fault, workers, await asyncio.to_thread(_trainer, services))


async def settings_in_force(call: Call) -> SettingsAnswer:
    return SettingsAnswer(shown(call.services.settings))


def workers_of(ledger: Sequence[Entry | Sign], now: datetime) -> list[WorkerState]:
    """Those at work, and those gone within the last day, by name."""
    begun: dict[str, datetime] = {}
    seen: dict[str, datetime] = {}
    for record in ledger:
        name, at = record.worker, record.at
        seen[name] = max(at, seen.get(name, at))
        if isinstance(record, Entry):
            begun[name] = min(at, begun.get(name, at))
    last = {span.worker: span for span in spans(ledger, now)}
    return [
        WorkerState(
            worker=name,
            gone=span.end == "gone",
            since=begun[name],
            seen=seen[name],
            model=span.model,
            runs_on=span.runs_on,
            rules=span.rules,
            rules_from=span.rules_from,
        )
        for name, span in sorted(last.items())
        if not span.end or (span.end == "gone" and now - seen[name] < GONE_SHOWN)
    ]


def _trainer(services: Services) -> TrainerState:
    latest: dict[str, Any] = next(iter(services.labels.attempts()), {})
    return TrainerState(
        written=services.labels.written(),
        verdict=str(latest.get("verdict", "")),
        verdict_at=str(latest.get("time", "")),
        drift=services.labels.drift(),
        drift_above=services.settings.trainer.drift_above,
    )


def flow_of(kept: Sequence[Seen], now: datetime) -> Flow:
    """Of the scored records that are kept."""
    ages_s = [_age_s(seen, now) for seen in kept]
    last_minute = [seen for seen, age_s in zip(kept, ages_s, strict=True) if age_s < RATE_S]
    timed = last_minute or latest(kept, 200)
    some: list[Scored] = [seen.record for seen in timed]
    latencies = sorted(map(_scored_ms, some))
    tokens = sum(event.batch.tokens for event in some)
    padding = sum(event.batch.padding for event in some)
    heads = {name for event in some for name in event.heads}
    per_minute = [0] * 30
    for age_s in ages_s:
        back = int(age_s // 60)
        if 0 <= back < len(per_minute):
            per_minute[-1 - back] += 1
    return Flow(
        per_second=rate(ages_s, window_s=RATE_S, most=KEPT_SCORED),
        kept=len(kept),
        latency_p50_ms=_quantile(latencies, 0.5),
        latency_p99_ms=_quantile(latencies, 0.99),
        waited_p50_ms=_quantile(sorted(event.batch.waited_ms for event in some), 0.5),
        parts={
            name: _median(part(seen) for seen in timed) for name, part in PARTS.items() if timed
        },
        batch_size=sum(event.batch.size for event in some) / len(some) if some else None,
        padding=padding / (tokens + padding) if tokens + padding else None,
        released_by=Counter(event.batch.released_by for event in some),
        sources=Counter(event.source for event in some),
        models=Counter(event.model for event in some),
        abstained={
            head: sum(event.heads[head].abstained for event in some if head in event.heads)
            / len(some)
            for head in sorted(heads)
        },
        per_minute=per_minute,
    )


def _age_s(seen: Seen, now: datetime) -> float:
    scored_at: datetime = seen.record.scored_at
    return (now - scored_at).total_seconds()


def _scored_ms(event: Scored) -> float:
    return (event.scored_at - event.received_at).total_seconds() * 1e3


PARTS: dict[str, Callable[[Seen], float]] = {
    "waiting": lambda seen: float(seen.record.batch.waited_ms),
    "scoring": lambda seen: _scored_ms(seen.record) - seen.record.batch.waited_ms,
    "judging": lambda seen: seen.at_ms - seen.record.scored_at.timestamp() * 1e3,
}
"""Until a batch takes it; until its scores; until Redis has judged it and its records are sent."""


def _median(values: Iterable[float]) -> float:
    return max(0.0, statistics.median(values))


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/health",
        role="viewer",
        run=health,
        answer=HealthAnswer,
        summary="What is away, rates and times, lag, the services at work, drift",
    )
    yield Operation(
        method="GET",
        path="/settings",
        role="viewer",
        run=settings_in_force,
        answer=SettingsAnswer,
        summary="Settings in force, secrets masked",
    )
