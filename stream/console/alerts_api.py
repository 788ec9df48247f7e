"""The API's alerts; every change is the lifecycle's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from stream.alerts.alert_search import Search
from stream.alerts.lifecycle import Change, Entry
from stream.alerts.matchers import parse_matcher
from stream.alerts.silences import Silence
from stream.console.alert_rows import Row, row_of, rows_of
from stream.console.body_fields import Name, SomeText, Text, clean_field
from stream.console.highlight import shared_words
from stream.console.operations import Call, Operation
from stream.console.services import Services, alert_id
from stream.records import Alert, utc_now

SIMILAR = 8
MAX_ROWS = 2_000


class AlertsQuery(msgspec.Struct, frozen=True):
    """matcher may be given several times; all must hold. Open alerts first the latest event."""

    state: Literal["open", "resolved", "all"] = "open"
    matcher: tuple[str, ...] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)] = MAX_ROWS


class AlertList(msgspec.Struct, frozen=True):
    """more is True where there are further alerts than limit."""

    alerts: list[Row]
    more: bool
    silences: list[Silence]


class AlertDetail(msgspec.Struct, frozen=True):
    """words are those to mark in the evidence; similar are alerts of the same rule or subject."""

    alert: Alert
    row: Row
    history: list[Entry]
    words: list[str]
    similar: list[Row]


class Comment(msgspec.Struct, frozen=True):
    comment: Text = ""

    def __post_init__(self) -> None:
        clean_field(self, "comment", may_be_blank=True)


class Remark(msgspec.Struct, frozen=True):
    comment: SomeText

    def __post_init__(self) -> None:
        clean_field(self, "comment")


class Assignment(Comment, frozen=True, kw_only=True):
    to: Name

    def __post_init__(self) -> None:
        super().__post_init__()
        clean_field(self, "to")
        msgspec.structs.force_setattr(self, "to", " ".join(self.to.split()))


class Changed(msgspec.Struct, frozen=True):
    """changed is False where the alert was so already."""

    changed: bool
    row: Row


async def list_alerts(call: Call) -> AlertList:
    return await call.services.single_flight.answer(
        call.query, lambda: _list(call.services, call.query)
    )


async def _list(services: Services, query: AlertsQuery) -> AlertList:
    matchers = [parse_matcher(text) for text in query.matcher]
    now = utc_now()
    in_force = await services.hub.refresh_silences()
    silences = services.hub.silences

    def keeps(alert: Alert) -> bool:
        search = Search(("resolved",) if query.state == "resolved" else (), matchers)
        return search.keeps(alert, silences, now)

    if query.state == "open":
        found = await services.alerts.list_open(query.limit + 1, keeps)
    else:
        found = (await services.alerts.list_all(keeps))[: query.limit + 1]
    return AlertList(
        rows_of(found[: query.limit], silences, now),
        len(found) > query.limit,
        in_force,
    )


async def show_alert(call: Call) -> AlertDetail:
    identity = call.path["id"]
    return await call.services.single_flight.answer(
        identity, lambda: _detail(call.services, identity)
    )


async def _detail(services: Services, identity: str) -> AlertDetail:
    alert = await services.alert(identity)
    now = utc_now()
    similar = await services.alerts.list_like(alert, SIMILAR)
    return AlertDetail(
        alert=alert,
        row=row_of(alert, services.hub.silences, now),
        history=await services.lifecycle.history(alert.id),
        words=shared_words([one.text for one in alert.evidence], alert.subject),
        similar=rows_of(similar, services.hub.silences, now),
    )


async def acknowledge(call: Call) -> Changed:
    return _changed(
        call,
        await call.services.lifecycle.acknowledge(
            alert_id(call.path["id"]), by=call.by.name, comment=call.body.comment
        ),
    )


async def assign(call: Call) -> Changed:
    body = call.body
    return _changed(
        call,
        await call.services.lifecycle.assign(
            alert_id(call.path["id"]), to=body.to, by=call.by.name, comment=body.comment
        ),
    )


async def comment(call: Call) -> Changed:
    return _changed(
        call,
        await call.services.lifecycle.comment(
            alert_id(call.path["id"]), call.body.comment, by=call.by.name
        ),
    )


async def resolve(call: Call) -> Changed:
    return _changed(
        call,
        await call.services.lifecycle.resolve(
            alert_id(call.path["id"]), by=call.by.name, comment=call.body.comment
        ),
    )


def _changed(call: Call, change: Change) -> Changed:
    return Changed(change.changed, row_of(change.alert, call.services.hub.silences, utc_now()))


def operations() -> Iterable[Operation]:
    one = "/alerts/{id}"
    yield Operation(
        method="GET",
        path="/alerts",
        role="viewer",
        run=list_alerts,
        query=AlertsQuery,
        answer=AlertList,
        summary="Alerts in Redis, and the silences in force or to come",
    )
    yield Operation(
        method="GET",
        path=one,
        role="viewer",
        run=show_alert,
        answer=AlertDetail,
        summary="One alert with evidence, history and similar ones",
    )
    for name, run, body, words in (
        ("acknowledge", acknowledge, Comment, "Say that someone works on it"),
        ("assign", assign, Assignment, "Give it to someone"),
        ("comment", comment, Remark, "Put a remark into its history"),
        ("resolve", resolve, Comment, "Close it"),
    ):
        yield Operation(
            method="POST",
            path=f"{one}/{name}",
            role="operator",
            run=run,
            body=body,
            answer=Changed,
            summary=words,
        )
