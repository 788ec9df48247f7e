"""What a backtest has to say, for machines and for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from stream.backtesting.backtest import Backtest, Outcome, compare, count_by_day
from stream.backtesting.labels import Marks, Quality
from stream.backtesting.sweep import Step, steps
from stream.records import Alert
from stream.terminal import show

FIRST = "first"
SECOND = "second"
SHOWN = 200
"""Rows of a table for people; --json has all."""


class Row(msgspec.Struct, frozen=True):
    """One alert, in the words of a list."""

    id: str
    fingerprint: str
    episode: int
    sequence: int
    first_seen: datetime
    fired_at: datetime | None
    last_seen: datetime
    ended_at: datetime | None
    severity: str
    rule: str
    subject: str
    count: int
    state: str
    title: str
    summary: str
    signal: dict[str, Any]


class Alerted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one rule set would have done.

    notifications are by receiver, where routes were given; quality is there where labels were.
    """

    alerts: list[Row]
    transitions: int
    by_rule: dict[str, int]
    by_day: dict[str, dict[str, int]]
    rule_errors: dict[str, int]
    notifications: dict[str, int] | None = None
    quality: list[Quality] | None = None


class Side(msgspec.Struct, frozen=True):
    only_first: list[Row]
    only_second: list[Row]
    both: int


class Swept(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value: its alerts, and those lost and gained against the value before."""

    value: str
    alerts: int
    lost: list[Row]
    gained: list[Row]
    quality: Quality | None = None


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """repeats are records of events that had come before. first and last are event times.

    labelled is how many events have labels, labels_matched how many of them were among the records.
    """

    records: int
    repeats: int
    first: datetime | None
    last: datetime | None
    seconds: float
    records_per_second: float
    labelled: int | None = None
    labels_matched: int | None = None
    result: Alerted | None = None
    other: Alerted | None = None
    comparison: Side | None = None
    sweep: list[Swept] | None = None


def summarise(
    run: Backtest,
    names: Sequence[str],
    seconds: float,
    *,
    sweep: bool,
    told: Mapping[str, dict[str, int]],
    marks: Marks | None,
) -> Summary:
    """Told are notifications by name of the rule set, then receiver."""
    outcomes = {name: run.outcome(name) for name in names}
    records = run.records + run.repeats
    plain = Summary(
        run.records,
        run.repeats,
        run.first,
        run.last,
        round(seconds, 3),
        round(records / seconds, 1) if seconds > 0 else 0.0,
        labelled=marks.labelled if marks else None,
        labels_matched=marks.matched if marks else None,
    )
    if sweep:
        taken = steps({name: outcome.alerts for name, outcome in outcomes.items()})
        return msgspec.structs.replace(plain, sweep=[_swept(step, marks) for step in taken])
    first, *others = outcomes.values()
    quality = {name: marks.quality(name) for name in names} if marks else {}
    result = _alerted(first, told.get(names[0]), quality.get(names[0]))
    if not others:
        return msgspec.structs.replace(plain, result=result)
    found = compare(first.alerts, others[0].alerts)
    return msgspec.structs.replace(
        plain,
        result=result,
        other=_alerted(others[0], told.get(names[1]), quality.get(names[1])),
        comparison=Side(
            _rows(found.only_first),
            _rows(found.only_second),
            len({one.id for one, _ in found.both}),
        ),
    )


def show_summary(summary: Summary) -> None:
    head: dict[str, Any] = {
        "records": summary.records,
        "repeats": summary.repeats,
        "first": summary.first,
        "last": summary.last,
        "records_per_second": summary.records_per_second,
    }
    if summary.labelled is not None:
        head["labels"] = f"{summary.labels_matched} of {summary.labelled} events are in the records"
    if summary.comparison and summary.result and summary.other:
        _show_comparison(head, summary.comparison, summary.result, summary.other)
    elif summary.sweep:
        show.record("backtest", head, as_json=False)
        for step in summary.sweep:
            _quality_table(f"{step.value}: quality", [step.quality] if step.quality else None)
            alerts = show.counted(step.alerts, "alert")
            _table(f"{step.value}: {alerts}; lost against the value before", step.lost)
            if step.gained:
                _table(f"{step.value}: gained", step.gained)
    elif summary.result:
        head |= {"alerts": len(summary.result.alerts), "by rule": summary.result.by_rule}
        if summary.result.notifications is not None:
            head["notifications"] = summary.result.notifications or "none"
        if summary.result.rule_errors:
            head["rule errors"] = summary.result.rule_errors
        show.record("backtest", head, as_json=False)
        _quality_table("quality", summary.result.quality)
        _table("alerts", summary.result.alerts)
        days = [
            {"day": day, "alerts": sum(counts.values()), "rules": counts}
            for day, counts in summary.result.by_day.items()
        ]
        if days:
            show.table("days", days, columns=("day", "alerts", "rules"), shown=SHOWN)


def _show_comparison(head: dict[str, Any], side: Side, first: Alerted, second: Alerted) -> None:
    sides = ((FIRST, first), (SECOND, second))
    head |= {f"alerts of the {name}": len(one.alerts) for name, one in sides}
    head["in both"] = side.both
    for name, one in sides:
        if one.notifications is not None:
            head[f"notifications of the {name}"] = one.notifications or "none"
    show.record("backtest", head, as_json=False)
    for name, one in sides:
        _quality_table(f"quality of the {name}", one.quality)
    _table("only in the first", side.only_first)
    _table("only in the second", side.only_second)


def _quality_table(title: str, quality: Sequence[Quality] | None) -> None:
    if quality:
        show.table(title, quality, columns=Quality.__struct_fields__)


def _table(title: str, rows: Sequence[Row]) -> None:
    if not rows:
        show.stdout.print(f"{title}: none")
        return
    columns = ("fired_at", "rule", "subject", "count", "title")
    show.table(title, rows, columns=columns, shown=SHOWN)


def _alerted(
    outcome: Outcome, notifications: dict[str, int] | None, quality: list[Quality] | None
) -> Alerted:
    by_rule = Counter(alert.rule for alert in outcome.alerts)
    return Alerted(
        _rows(outcome.alerts),
        outcome.transitions,
        dict(by_rule.most_common()),
        count_by_day(outcome.alerts),
        outcome.errors,
        notifications,
        quality,
    )


def _swept(step: Step, marks: Marks | None) -> Swept:
    # The one rule that is swept, without the line for all rules.
    quality = marks.quality(step.value)[-1] if marks else None
    return Swept(step.value, step.alerts, _rows(step.lost), _rows(step.gained), quality)


def _rows(alerts: Sequence[Alert]) -> list[Row]:
    return [Row(*(getattr(alert, name) for name in Row.__struct_fields__)) for alert in alerts]
