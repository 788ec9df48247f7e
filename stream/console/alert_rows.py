"""Alerts as lists show them, small enough to be sent two hundred times a second. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from stream.alerts.matchers import labels_of
from stream.alerts.silences import ActiveSilences
from stream.records import Alert, Severity

SUMMARY_CHARS = 240


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One alert in a list. silence is the id of the silence that hides it now, else empty.

    acknowledged_severity is what the acknowledgement covers: above it people are told again.
    """

    id: str
    sequence: int
    rule: str
    severity: Severity
    state: str
    subject: str
    title: str
    summary: str
    first_seen: datetime
    last_seen: datetime
    count: int
    assignee: str
    acknowledged_by: str
    acknowledged_severity: Severity | Literal[""]
    flapping: bool
    silence: str
    labels: dict[str, str]


def row_of(alert: Alert, silences: ActiveSilences, now: datetime) -> Row:
    labels = labels_of(alert)
    hiding = silences.hiding(labels, now)
    handling = alert.handling
    # A transition "silenced" says that a silence hid the alert; the alert goes on as it was.
    state = alert.state
    if state == "silenced":
        state = "acknowledged" if handling.acknowledged_by else "updated"
    return Row(
        id=alert.id,
        sequence=alert.sequence,
        rule=alert.rule,
        severity=alert.severity,
        state=state,
        subject=alert.subject,
        title=alert.title,
        summary=alert.summary[:SUMMARY_CHARS],
        first_seen=alert.first_seen,
        last_seen=alert.last_seen,
        count=alert.count,
        assignee=handling.assignee,
        acknowledged_by=handling.acknowledged_by,
        acknowledged_severity=handling.acknowledged_severity,
        flapping=handling.flapping,
        silence=hiding.id if hiding else "",
        labels=labels,
    )


def rows_of(alerts: Iterable[Alert], silences: ActiveSilences, now: datetime) -> list[Row]:
    return [row_of(alert, silences, now) for alert in alerts]
