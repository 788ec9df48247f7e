"""The API's silences, and what one would hide before it is made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated

import msgspec

from stream.alerts.alert_search import Search
from stream.alerts.matchers import Matcher, parse_matcher
from stream.alerts.silence_store import PREVIEW_S
from stream.alerts.silences import Silence
from stream.config.durations import seconds
from stream.console.alert_rows import Row, rows_of
from stream.console.alerts_api import MAX_ROWS
from stream.console.body_fields import SomeText, clean_field
from stream.console.errors import RefusedError
from stream.console.operations import Call, Operation
from stream.records import utc_now

SHOWN_EXAMPLES = 5


class Matchers(msgspec.Struct, frozen=True):
    """In Alertmanager's syntax, for example rule="x" and subject=~"ticker:.*"; all must hold."""

    matchers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=20)]

    def parsed(self) -> list[Matcher]:
        return [parse_matcher(text) for text in self.matchers]


class NewSilence(Matchers, frozen=True):
    """lasts is a whole number with a unit: 30m, 2h, 7d."""

    lasts: str
    reason: SomeText

    def __post_init__(self) -> None:
        clean_field(self, "reason")


class PreviewAnswer(msgspec.Struct, frozen=True):
    """What the matchers would hide: of the open alerts, and of those of the last hour."""

    open_hidden: int
    open_alerts: int
    hour_hidden: int
    hour_alerts: int
    hour_complete: bool
    examples: list[Row]


class Silences(msgspec.Struct, frozen=True):
    silences: list[Silence]


async def list_silences(call: Call) -> Silences:
    return Silences(await call.services.silences.listed())


async def preview_silence(call: Call) -> PreviewAnswer:
    services = call.services
    matchers = call.body.parsed()
    now = utc_now()
    hour = await services.silences.preview(matchers, since=now - timedelta(seconds=PREVIEW_S))
    search = Search((), matchers)
    shown = await services.alerts.list_open(MAX_ROWS)
    hidden = [alert for alert in shown if search.keeps(alert, services.hub.silences, now)]
    return PreviewAnswer(
        open_hidden=len(hidden),
        open_alerts=len(shown),
        hour_hidden=hour.hidden,
        hour_alerts=hour.alerts,
        hour_complete=hour.complete,
        examples=rows_of(hidden[:SHOWN_EXAMPLES], services.hub.silences, now),
    )


async def create_silence(call: Call) -> Silence:
    body = call.body
    try:
        lasts_s = seconds(body.lasts)
    except ValueError as error:
        raise RefusedError(f"lasts {body.lasts!r}: {error}") from None
    made = await call.services.silences.create(
        body.parsed(), author=call.by.name, reason=body.reason, lasts_s=lasts_s
    )
    await call.services.hub.refresh_silences()
    return made


async def end_silence(call: Call) -> Silence:
    ended = await call.services.silences.end(call.path["id"])
    await call.services.hub.refresh_silences()
    return ended


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/silences",
        role="viewer",
        run=list_silences,
        answer=Silences,
        summary="Silences in force and to come, the one that ends first before the others",
    )
    yield Operation(
        method="POST",
        path="/silences",
        role="operator",
        run=create_silence,
        body=NewSilence,
        answer=Silence,
        summary="Hide matching alerts from notification for a while",
    )
    yield Operation(
        method="POST",
        path="/silences/preview",
        role="viewer",
        run=preview_silence,
        body=Matchers,
        answer=PreviewAnswer,
        summary="What a silence would hide",
    )
    yield Operation(
        method="DELETE",
        path="/silences/{id}",
        role="operator",
        run=end_silence,
        answer=Silence,
        summary="End a silence now",
    )
