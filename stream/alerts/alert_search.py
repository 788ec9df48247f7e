"""Which alerts a person asks for, and what an export says of each. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from stream.alerts.matchers import Matcher, all_hold, labels_of
from stream.alerts.silences import ActiveSilences
from stream.records import Alert, AlertState

EXPORT_COLUMNS = (
    "id",
    "fingerprint",
    "episode",
    "sequence",
    "rule",
    "rule_version",
    "severity",
    "state",
    "subject",
    "title",
    "summary",
    "first_seen",
    "fired_at",
    "last_seen",
    "ended_at",
    "count",
    "acknowledged_by",
    "assignee",
    "flapping",
    "action",
    "by",
    "at",
    "comment",
    "labels",
    "model",
)
# A spreadsheet runs a cell that begins so as a formula, and texts come from anyone.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Search(msgspec.Struct, frozen=True):
    """All parts must hold. State "silenced" asks for alerts that a silence hides now."""

    states: Sequence[AlertState] = ()
    matchers: Sequence[Matcher] = ()
    since: datetime | None = None

    def keeps(self, alert: Alert, silences: ActiveSilences, now: datetime) -> bool:
        labels = labels_of(alert)
        states = {alert.state}
        if "silenced" in self.states and silences.hiding(labels, now):
            states.add("silenced")
        return (
            (not self.states or not states.isdisjoint(self.states))
            and (self.since is None or alert.last_seen >= self.since)
            and all_hold(self.matchers, labels)
        )


def to_csv(alerts: Iterable[Alert]) -> str:
    """One row an alert, with a header; evidence and signal are left to JSON."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(EXPORT_COLUMNS)
    for alert in alerts:
        fields = msgspec.to_builtins(alert)
        fields.update(fields["handling"])
        fields["labels"] = " ".join(f"{name}={value}" for name, value in alert.labels.items())
        writer.writerow(_cell(fields[column]) for column in EXPORT_COLUMNS)
    return file.getvalue()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
