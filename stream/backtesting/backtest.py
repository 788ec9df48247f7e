"""What rules would have alerted: scored records run through windows, rules and episodes. Pure.

The same code as live, but for the state, which lies in memory (memory.py, episodes.py). Of several
workers one may fold events in, or bring verdicts in, while another asks its rules. The turns on the
records say in which order all that came, and a backtest goes through it in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from stream.alerts.episodes import Episodes
from stream.config.signals import Signals
from stream.records import Alert, Scored
from stream.rules.rule_set import Known, Match, RuleSet
from stream.signals.memory import SubjectWindows


class Outcome(msgspec.Struct):
    """What one rule set did. alerts are as their last transition left them, in order of firing."""

    alerts: list[Alert]
    transitions: int
    errors: dict[str, int]


class Judged(NamedTuple):
    """A record whose verdicts have come in: the transitions, with the name of their rule set."""

    scored: Scored
    transitions: list[tuple[str, Alert]]


Verdicts = dict[str, list[Match]]
"""On one record, by rule set."""


class _Waiting:
    """The records of one micro-batch with their verdicts, and what is known meanwhile."""

    def __init__(self, known: dict[str, Known]) -> None:
        self.known = known
        self.records: list[tuple[Scored, Verdicts]] = []


class Backtest:
    """Several rule sets over the same records, each with alerts of its own.

    Records come in the order of their turns, those without one in the order of the log. One that
    was delivered again is passed over.
    """

    def __init__(
        self, rule_sets: Mapping[str, RuleSet], *, signals: Signals, quiet_s: float
    ) -> None:
        self._rule_sets = dict(rule_sets)
        kinds = {kind for rules in rule_sets.values() for kind in rules.subject_kinds}
        self._windows = SubjectWindows(signals, kinds)
        self._episodes = {name: Episodes(quiet_s=quiet_s) for name in rule_sets}
        self._alerts: dict[str, dict[str, Alert]] = {name: {} for name in rule_sets}
        self._transitions = dict.fromkeys(rule_sets, 0)
        self._known = self._known_now()
        # By the turn of their verdicts.
        self._waiting: dict[int, _Waiting] = {}
        self._seen: set[int] = set()
        self.records = 0
        self.repeats = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def feed(self, scored: Scored) -> list[Judged]:
        """The records whose verdicts come in now; this one's may later, at the last in finish()."""
        # A hash is a tenth of the memory; two of a million that agree are one in 10^7.
        mark = hash((scored.origin, scored.id, scored.time))
        if mark in self._seen:
            self.repeats += 1
            return []
        self._seen.add(mark)
        self.records += 1
        if self.first is None or scored.time < self.first:
            self.first = scored.time
        if self.last is None or scored.time > self.last:
            self.last = scored.time
        if scored.turn is None:
            judged = self.finish()
            judged.append(self._raise(scored, self._ask(scored, self._known)))
            return judged
        observed, raised = scored.turn
        judged = self._raise_before(observed)
        if raised not in self._waiting:
            self._waiting[raised] = _Waiting(self._known_now())
        batch = self._waiting[raised]
        verdicts = self._ask(scored, batch.known)
        for name, matches in verdicts.items():
            batch.known[name].add(matches)
        batch.records.append((scored, verdicts))
        return judged

    def finish(self) -> list[Judged]:
        """The records whose verdicts had not come in yet."""
        return self._raise_before(None)

    def _known_now(self) -> dict[str, Known]:
        return {name: Known(one.known) for name, one in self._episodes.items()}

    def _ask(self, scored: Scored, known: Mapping[str, Known]) -> Verdicts:
        windows = self._windows.observe(scored)
        return {
            name: rules.match(scored, windows, known[name])
            for name, rules in self._rule_sets.items()
        }

    def _raise_before(self, turn: int | None) -> list[Judged]:
        """All that came in before that turn; None for everything."""
        if not self._waiting:
            return []
        due = sorted(one for one in self._waiting if turn is None or one < turn)
        return [
            self._raise(scored, verdicts)
            for one in due
            for scored, verdicts in self._waiting.pop(one).records
        ]

    def _raise(self, scored: Scored, verdicts: Verdicts) -> Judged:
        transitions: list[tuple[str, Alert]] = []
        for name, matches in verdicts.items():
            for match in matches:
                alert = self._episodes[name].raise_alert(scored, match)
                if alert is not None:
                    self._alerts[name][alert.id] = alert
                    self._transitions[name] += 1
                    transitions.append((name, alert))
        return Judged(scored, transitions)

    def outcome(self, name: str) -> Outcome:
        """What came of it, once all records are fed."""
        self.finish()
        return Outcome(
            sorted(self._alerts[name].values(), key=lambda alert: alert.began),
            self._transitions[name],
            dict(self._rule_sets[name].errors),
        )


class Comparison(msgspec.Struct, frozen=True):
    """Alerts of two outcomes of which one side knows nothing, and those that both raised."""

    only_first: list[Alert]
    only_second: list[Alert]
    both: list[tuple[Alert, Alert]]


def compare(first: Sequence[Alert], second: Sequence[Alert]) -> Comparison:
    """Two alerts are the same if rule and subject are, and their times overlap.

    Ids would not do: an episode that one side lacks shifts the numbers of those after it.
    """
    others: dict[str, list[Alert]] = {}
    for alert in second:
        others.setdefault(alert.fingerprint, []).append(alert)
    both: list[tuple[Alert, Alert]] = []
    only_first: list[Alert] = []
    for alert in first:
        found = [other for other in others.get(alert.fingerprint, ()) if _overlap(alert, other)]
        both += [(alert, other) for other in found]
        if not found:
            only_first.append(alert)
    known = {other.id for _, other in both}
    return Comparison(only_first, [alert for alert in second if alert.id not in known], both)


def _overlap(one: Alert, other: Alert) -> bool:
    return one.first_seen <= other.last_seen and other.first_seen <= one.last_seen


def count_by_day(alerts: Sequence[Alert]) -> dict[str, dict[str, int]]:
    """Day (UTC) to rule to alerts that fired, days in order."""
    days: dict[str, Counter[str]] = {}
    for alert in alerts:
        days.setdefault(alert.began.date().isoformat(), Counter())[alert.rule] += 1
    return {day: dict(days[day].most_common()) for day in sorted(days)}
