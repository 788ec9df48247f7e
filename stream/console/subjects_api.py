"""The API's figures of subjects: how they sound, how busy they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from stream.console.alert_rows import Row, rows_of
from stream.console.errors import NotFoundError
from stream.console.markets import HeatMap, View, heat_map, view_of
from stream.console.operations import Call, Operation
from stream.console.prices import PriceLine
from stream.console.recent import Recent
from stream.console.services import Services
from stream.records import utc_now
from stream.signals.figures import figures

SUBJECTS = 40


class MarketsAnswer(msgspec.Struct, frozen=True):
    """Over the scored events that the console keeps; events says how many, since when."""

    heat_map: HeatMap
    events: int
    since: datetime | None
    caught_up: bool


class SubjectAnswer(msgspec.Struct, frozen=True):
    """figures are the windows that rules see (docs/rules.md), empty for a subject unseen lately.

    view is None where none of the `events` kept scored events is about it. prices are of the view's
    days; None for what is no ticker, and where console.prices is not set.
    """

    view: View | None
    events: int
    figures: dict[str, float]
    alerts: list[Row]
    prices: PriceLine | None


async def markets(call: Call) -> MarketsAnswer:
    return await call.services.short_cache.answer("markets", lambda: _markets(call.services.recent))


async def _markets(recent: Recent) -> MarketsAnswer:
    scored = recent.scored
    found = await asyncio.to_thread(heat_map, scored, limit=SUBJECTS)
    since = min((event.time for event in scored), default=None)
    return MarketsAnswer(found, len(scored), since, recent.caught_up)


async def subject(call: Call) -> SubjectAnswer:
    services, kind, name = call.services, call.path["kind"], call.path["id"]
    return await services.single_flight.answer((kind, name), lambda: _subject(services, kind, name))


async def _subject(services: Services, kind: str, name: str) -> SubjectAnswer:
    alerts = await services.alerts.list_all(lambda alert: alert.subject == f"{kind}:{name}")
    scored = services.recent.scored
    view = await asyncio.to_thread(view_of, scored, kind, name, [alert.began for alert in alerts])
    windows = await services.signals.get(f"{kind}:{name}")
    if view is None and not alerts and not windows:
        raise NotFoundError(
            f"none of the latest {len(scored):,} scored events is about {kind} {name}, and Redis "
            "has neither alerts nor windows of it"
        )
    shown_figures = figures(windows, services.settings.signals) if windows else {}
    prices = None
    if view and kind == "ticker" and services.prices:
        first, last = view.buckets[0].start, view.buckets[-1].start
        end = last + timedelta(seconds=view.width_s)
        prices = await asyncio.to_thread(services.prices.line, name, first.date(), end.date())
    rows = rows_of(alerts, services.hub.silences, utc_now())
    return SubjectAnswer(view, len(scored), shown_figures, rows, prices)


def operations() -> Iterable[Operation]:
    rows: tuple[tuple[str, Any, Any, str], ...] = (
        ("/markets", markets, MarketsAnswer, "The busiest subjects of the latest scored events"),
        ("/subjects/{kind}/{id}", subject, SubjectAnswer, "Tone, volume and alerts of a subject"),
    )
    for path, run, answer, words in rows:
        yield Operation(
            method="GET", path=path, role="viewer", run=run, answer=answer, summary=words
        )
