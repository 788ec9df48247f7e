"""One alert as a person reads it: its facts, what became of it, and its events in short."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from stream.records import Alert, Evidence, model_text
from stream.terminal import show

if TYPE_CHECKING:
    from stream.alerts.lifecycle import Change, Entry

EVENT_CHARS = 160

Row = tuple[str, str]


def print_alert(alert: Alert, history: Sequence[Entry], hidden: str, *, routed: bool) -> None:
    """What hides it from notification may be empty; routed: there is a routing file at all."""
    show.rows(alert.title, facts(alert, hidden, routed=routed))
    if history:
        show.rows("history", map(_change, history))
    shown = len(alert.evidence)
    title = f"events: the latest {shown} of {alert.count}" if shown < alert.count else "events"
    show.rows(title, events(alert))


def print_change(change: Change) -> None:
    """What became of it, and who has it now."""
    alert, handling = change.alert, change.alert.handling
    comment = f": {handling.comment}" if handling.comment else ""
    rows = {
        "alert": f"{alert.id}, {alert.severity}, {alert.state}",
        "change": f"{handling.action} by {handling.by}{comment}"
        if change.changed
        else "none, it was so already",
        "assigned to": handling.assignee,
        "acknowledged by": handling.acknowledged_by,
    }
    show.rows(alert.title, _told(rows))


def facts(alert: Alert, hidden: str, *, routed: bool) -> Iterator[Row]:
    """Without what there is nothing to say of."""
    handling = alert.handling
    told = "nothing hides it" if routed else "none, alerting.routes is not set"
    flapping = "it came and went too often to tell each time" if handling.flapping else ""
    rows = {
        "alert": f"{alert.id}, {alert.severity}, {alert.state}",
        "subject": alert.subject,
        "events": f"{alert.count}, {show.plain(alert.first_seen)} to {show.plain(alert.last_seen)}",
        "fired": show.plain(alert.fired_at) if alert.fired_at else "",
        "ended": _end(alert),
        "summary": alert.summary,
        "rule": f"{alert.rule} {alert.rule_version}",
        # An alert carries what was asked last, and the figures of then.
        "ended on" if alert.ended_by else "condition": alert.condition,
        "figures": ", ".join(_figures(alert)),
        "labels": ", ".join(f"{name}={value}" for name, value in alert.labels.items()),
        "model": alert.model,
        "assigned to": handling.assignee,
        "acknowledged by": handling.acknowledged_by,
        "flapping": flapping,
        "not notified": hidden,
        "notification": "" if hidden else told,
    }
    return _told(rows)


def _told(rows: Mapping[str, str]) -> Iterator[Row]:
    for name, value in rows.items():
        if value:
            yield name, show.whole(" ".join(value.split()))


def _end(alert: Alert) -> str:
    if alert.ended_at is None:
        return ""
    by = f" by {alert.ended_by.source} {alert.ended_by.event_id}" if alert.ended_by else ""
    return f"{show.plain(alert.ended_at)}{by}"


def events(alert: Alert) -> Iterator[Row]:
    """Each with the answers that the rule goes by."""
    from stream.explain.heads_used import heads_used  # it loads CEL

    for one in alert.evidence:
        answers = ", ".join(_answers(one, heads_used(alert.condition, tuple(one.scores))))
        yield (
            show.plain(one.time),
            show.plain(f"{one.source} {one.event_id}" + (f": {answers}" if answers else "")),
        )
        yield "", show.plain(_cut(model_text(one.title, one.text)))


def _answers(one: Evidence, heads: Iterable[str]) -> Iterator[str]:
    for name in heads:
        head = one.scores[name]
        abstained = " (abstained)" if head.abstained else ""
        yield f"{name} {head.label} {head.confidence:.2f}{abstained}"


def _figures(alert: Alert) -> Iterator[str]:
    """Those that the condition asks about; explain and --json have all."""
    from stream.rules.conditions import fields_used  # it loads CEL

    asked = fields_used(alert.condition).get("signal", set())
    for name, value in alert.signal.items():
        if name in asked:
            yield f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"


def _change(entry: Entry) -> Row:
    detail = f" {entry.detail}" if entry.detail else ""
    by = f" by {entry.by}" if entry.by else ""
    comment = f": {' '.join(entry.comment.split())}" if entry.comment else ""
    return show.plain(entry.at), show.whole(f"{entry.action}{detail}{by}{comment}")


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EVENT_CHARS else f"{line[:EVENT_CHARS].rstrip()}…"
