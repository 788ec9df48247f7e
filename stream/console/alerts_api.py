"""The API's alerts; every change is the lifecycle's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from stream.alerts.alert_search import Search
from stream.alerts.lifecycle import MAX_COMMENT_CHARS, Change, Entry
from stream.console.desk import Desk, alert_id
from stream.console.highlight import shared_words
from stream.console.operations import Asked, Operation
from stream.console.rows import Row, row_of, rows_of
from stream.ingest.text import clean_remark
from stream.notify.matchers import parse_matcher
from stream.notify.silences import Silence
from stream.records import Alert, utc_now

SIMILAR = 8
MAX_ROWS = 2_000
MAX_NAME_CHARS = 100

Text = Annotated[str, msgspec.Meta(max_length=MAX_COMMENT_CHARS)]
SomeText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_COMMENT_CHARS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]


def said(field: str, text: str) -> str:
    """What a person wrote, cleaned; a blank one refuses the body, by ValueError."""
    cleaned = clean_remark(text)
    if not cleaned:
        raise ValueError(f"{field} is blank; write something")
    return cleaned


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
        msgspec.structs.force_setattr(self, "comment", clean_remark(self.comment))


class Remark(msgspec.Struct, frozen=True):
    comment: SomeText

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "comment", said("comment", self.comment))


class Assignment(Comment, frozen=True, kw_only=True):
    to: Name

    def __post_init__(self) -> None:
        super().__post_init__()
        msgspec.structs.force_setattr(self, "to", " ".join(said("to", self.to).split()))


class Changed(msgspec.Struct, frozen=True):
    """changed is False where the alert was so already."""

    changed: bool
    row: Row


async def list_alerts(asked: Asked) -> AlertList:
    return await asked.desk.lists.answer(asked.query, lambda: _list(asked.desk, asked.query))


async def _list(desk: Desk, query: AlertsQuery) -> AlertList:
    matchers = [parse_matcher(text) for text in query.matcher]
    now = utc_now()
    in_force = await desk.hub.refresh_silences()
    silences = desk.hub.silences

    def keeps(alert: Alert) -> bool:
        search = Search(("resolved",) if query.state == "resolved" else (), matchers)
        return search.keeps(alert, silences, now)

    if query.state == "open":
        found = await desk.alerts.list_open(query.limit + 1, keeps)
    else:
        found = (await desk.alerts.list_all(keeps))[: query.limit + 1]
    return AlertList(
        rows_of(found[: query.limit], silences, now),
        len(found) > query.limit,
        in_force,
    )


async def show_alert(asked: Asked) -> AlertDetail:
    identity = asked.path["id"]
    return await asked.desk.lists.answer(identity, lambda: _detail(asked.desk, identity))


async def _detail(desk: Desk, identity: str) -> AlertDetail:
    alert = await desk.alert(identity)
    now = utc_now()
    similar = await desk.alerts.list_like(alert, SIMILAR)
    return AlertDetail(
        alert=alert,
        row=row_of(alert, desk.hub.silences, now),
        history=await desk.lifecycle.history(alert.id),
        words=shared_words([one.text for one in alert.evidence], alert.subject),
        similar=rows_of(similar, desk.hub.silences, now),
    )


async def acknowledge(asked: Asked) -> Changed:
    return _changed(
        asked,
        await asked.desk.lifecycle.acknowledge(
            alert_id(asked.path["id"]), by=asked.by.name, comment=asked.body.comment
        ),
    )


async def assign(asked: Asked) -> Changed:
    body = asked.body
    return _changed(
        asked,
        await asked.desk.lifecycle.assign(
            alert_id(asked.path["id"]), to=body.to, by=asked.by.name, comment=body.comment
        ),
    )


async def comment(asked: Asked) -> Changed:
    return _changed(
        asked,
        await asked.desk.lifecycle.comment(
            alert_id(asked.path["id"]), asked.body.comment, by=asked.by.name
        ),
    )


async def resolve(asked: Asked) -> Changed:
    return _changed(
        asked,
        await asked.desk.lifecycle.resolve(
            alert_id(asked.path["id"]), by=asked.by.name, comment=asked.body.comment
        ),
    )


def _changed(asked: Asked, change: Change) -> Changed:
    return Changed(change.changed, row_of(change.alert, asked.desk.hub.silences, utc_now()))


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
