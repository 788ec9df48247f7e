"""The API's figures: subjects, rates, lag, the settings in force."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from stream.connection import kafka_arguments
from stream.console.markets import HeatMap, View, heat_map, view_of
from stream.console.operations import Asked, NotFoundError, Operation
from stream.console.prices import PriceLine
from stream.console.rows import Row, rows_of
from stream.console.shown_settings import Setting, shown
from stream.operations.topic_log import places_of
from stream.records import Scored, utc_now
from stream.signals.figures import figures

RATE_S = 60
SUBJECTS = 40
LAG_S = 8.0


class MarketsAnswer(msgspec.Struct, frozen=True):
    """Over the scored events that the console keeps; events says how many, since when."""

    heat_map: HeatMap
    events: int
    since: datetime | None
    caught_up: bool


class SubjectAnswer(msgspec.Struct, frozen=True):
    """figures are the windows that rules see (docs/rules.md), empty for a subject unseen lately.

    prices are of the view's days; None for what is no ticker, and where console.prices is not set.
    """

    view: View
    figures: dict[str, float]
    alerts: list[Row]
    prices: PriceLine | None


class Flow(msgspec.Struct, frozen=True):
    """What the scored topic says of the workers; times in milliseconds, rates a second.

    latency runs from a record's arrival to its scores, over the kept events of the last minute, or
    the latest 200 where there were none.
    """

    per_second: float
    kept: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    waited_p50_ms: float | None
    batch_size: float | None
    released_by: dict[str, int]
    sources: dict[str, int]
    models: dict[str, int]
    abstained: dict[str, float]
    per_minute: list[int]


class Lag(msgspec.Struct, frozen=True):
    """Of one source topic: records after the group's committed offsets; None before any commit."""

    topic: str
    records: int | None
    end: int


class HealthAnswer(msgspec.Struct, frozen=True):
    """faults says what is away and why, empty strings while all is well."""

    faults: dict[str, str]
    flow: Flow
    lag: list[Lag]
    open_alerts: int | None
    viewers: int


class SettingsAnswer(msgspec.Struct, frozen=True):
    settings: list[Setting]


async def markets(asked: Asked) -> MarketsAnswer:
    recent = asked.desk.recent
    scored = recent.scored
    found = await asyncio.to_thread(heat_map, scored, limit=SUBJECTS)
    since = min((event.time for event in scored), default=None)
    return MarketsAnswer(found, len(scored), since, recent.caught_up)


async def subject(asked: Asked) -> SubjectAnswer:
    kind, name = asked.path["kind"], asked.path["id"]
    desk = asked.desk
    alerts = await desk.alerts.list_all(lambda alert: alert.subject == f"{kind}:{name}")
    view = await asyncio.to_thread(
        view_of, desk.recent.scored, kind, name, [alert.first_seen for alert in alerts]
    )
    if view is None:
        raise NotFoundError(
            f"none of the latest {len(desk.recent.scored):,} scored events is about {kind} {name}"
        )
    windows = await desk.signals.get(f"{kind}:{name}")
    shown_figures = figures(windows, desk.settings.signals) if windows else {}
    prices = None
    if kind == "ticker" and desk.prices:
        first, last = view.buckets[0].start, view.buckets[-1].start
        end = last + timedelta(seconds=view.width_s)
        prices = await asyncio.to_thread(desk.prices.line, name, first.date(), end.date())
    rows = rows_of(alerts, desk.hub.silences, utc_now())
    return SubjectAnswer(view, shown_figures, rows, prices)


async def health(asked: Asked) -> HealthAnswer:
    desk = asked.desk
    faults = desk.hub.faults
    lag: list[Lag] = []
    if not faults["kafka"]:
        try:
            async with asyncio.timeout(LAG_S):
                lag = await _lag(asked)
        except (KafkaError, OSError, TimeoutError) as error:
            faults["kafka"] = f"{type(error).__name__}: {error}"
    open_alerts = None if faults["redis"] else await desk.redis.zcard(desk.keys.alerts_open)
    flow = _flow(desk.recent.scored)
    return HealthAnswer(faults, flow, lag, open_alerts, desk.hub.viewers)


async def settings_in_force(asked: Asked) -> SettingsAnswer:
    return SettingsAnswer(shown(asked.desk.settings))


async def _lag(asked: Asked) -> list[Lag]:
    settings = asked.desk.settings
    names = [source.topic for source in settings.sources]
    places = await places_of(settings, *names)
    consumer = AIOKafkaConsumer(
        group_id=settings.kafka.group,
        enable_auto_commit=False,
        **kafka_arguments(settings.kafka),
    )
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(places) if places else {}
        committed = {place: await consumer.committed(place) for place in places}
    finally:
        await consumer.stop()
    return [
        Lag(
            name,
            _behind([place for place in places if place.topic == name], ends, committed),
            sum(end for place, end in ends.items() if place.topic == name),
        )
        for name in names
    ]


def _behind(
    places: Sequence[TopicPartition],
    ends: dict[TopicPartition, int],
    committed: dict[TopicPartition, int | None],
) -> int | None:
    """A partition without a commit counts as read up to its end if it is empty, else as unread."""
    if all(committed[place] is None and ends[place] for place in places):
        return None
    return sum(ends[place] - (committed[place] or 0) for place in places)


def _flow(scored: Sequence[Scored]) -> Flow:
    now = utc_now().timestamp()
    last_minute = [event for event in scored if now - event.scored_at.timestamp() < RATE_S]
    some = last_minute or scored[-200:]
    latencies = sorted(
        (event.scored_at - event.received_at).total_seconds() * 1e3 for event in some
    )
    heads = {name for event in some for name in event.heads}
    per_minute = [0] * 30
    for event in scored:
        back = int((now - event.scored_at.timestamp()) // 60)
        if 0 <= back < len(per_minute):
            per_minute[-1 - back] += 1
    return Flow(
        per_second=len(last_minute) / RATE_S,
        kept=len(scored),
        latency_p50_ms=_quantile(latencies, 0.5),
        latency_p99_ms=_quantile(latencies, 0.99),
        waited_p50_ms=_quantile(sorted(event.batch.waited_ms for event in some), 0.5),
        batch_size=sum(event.batch.size for event in some) / len(some) if some else None,
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


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None


def operations() -> Iterable[Operation]:
    rows: tuple[tuple[str, Any, Any, str], ...] = (
        ("/markets", markets, MarketsAnswer, "The busiest subjects of the latest scored events"),
        ("/subjects/{kind}/{id}", subject, SubjectAnswer, "Tone, volume and alerts of a subject"),
        ("/health", health, HealthAnswer, "Rates, lag, and what is away"),
        ("/settings", settings_in_force, SettingsAnswer, "Settings in force, secrets masked"),
    )
    for path, run, answer, words in rows:
        yield Operation(
            method="GET", path=path, role="viewer", run=run, answer=answer, summary=words
        )
