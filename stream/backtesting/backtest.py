"""What rules would have alerted: scored records run through windows, rules and episodes. Pure.

The same code as live, but for the state, which lies in memory (memory.py, episodes.py). Of several
workers one may fold events in, or bring verdicts in, while another asks its rules. The turns on the
records say in which order all that came, and a backtest goes through it in the same order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from stream.alerts.episodes import Episodes
from stream.config.signals import Signals
from stream.records import Alert, Scored
from stream.rules.rule_set import Known, Match, RuleSet
from stream.signals.memory import SubjectWindows
from stream.signals.windows import Windows


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
        # Records whose id had come before, which stand in the log where that did.
        self.again: list[tuple[Scored, Verdicts]] = []

    def add(self, scored: Scored, verdicts: Verdicts, *, again: bool = False) -> None:
        for name, matches in verdicts.items():
            self.known[name].add(matches)
        (self.again if again else self.records).append((scored, verdicts))

    def in_order(self) -> list[tuple[Scored, Verdicts]]:
        """As the worker had them: each partition in the order of its offsets."""
        ordered = self.records
        for one in sorted(self.again, key=lambda one: one[0].origin.offset):
            origin = one[0].origin
            behind = (
                place
                for place, (other, _) in enumerate(ordered)
                if (other.origin.topic, other.origin.partition) == (origin.topic, origin.partition)
                and other.origin.offset > origin.offset
            )
            ordered.insert(next(behind, len(ordered)), one)
        return ordered


class _Latest(NamedTuple):
    """The latest event that entered the windows: its turn, what it saw, and the verdicts on it."""

    turn: int
    windows: Mapping[str, Windows]
    verdicts: list[Verdicts]

    def new(self, verdicts: Verdicts) -> Verdicts:
        """Those about what no verdict on it is about; as live, they end nothing about a subject
        that it was not about.
        """
        given = {
            (name, match.rule.name, match.subject)
            for one in self.verdicts
            for name, matches in one.items()
            for match in matches
            if match.outcome != "fails"
        }
        return {
            name: [
                one
                for one in matches
                if (name, one.rule.name, one.subject) not in given
                and (one.outcome == "holds" or one.subject in self.windows)
            ]
            for name, matches in verdicts.items()
        }


class Backtest:
    """Several rule sets over the same records, each with alerts of its own.

    Records come in the order of their turns, those without one in the order of the log. One that
    was delivered again is passed over. What came again as another record, such as an edited ticket,
    has the turn that its id got first: as live, it enters no windows and only adds verdicts.
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
        self._latest = _Latest(-1, {}, [])
        self.records = 0
        self.repeats = 0
        self.first: datetime | None = None
        self.last: datetime | None = None

    def feed(self, scored: Scored) -> list[Judged]:
        """The records whose verdicts come in now; this one's may later, at the last in finish()."""
        # A hash is a tenth of the memory; two of a million that agree are one in 10^7.
        mark = hash(_identity(scored))
        if mark in self._seen:
            self.repeats += 1
            return []
        self._seen.add(mark)
        if scored.turn and scored.turn[0] == self._latest.turn:
            self.repeats += 1
            self._take_again(scored, scored.turn[1])
            return []
        self.records += 1
        if self.first is None or scored.time < self.first:
            self.first = scored.time
        if self.last is None or scored.time > self.last:
            self.last = scored.time
        windows = self._windows.observe(scored)
        if scored.turn is None:
            judged = self.finish()
            judged.append(self._raise(scored, self._ask(scored, windows, self._known)))
            return judged
        observed, raised = scored.turn
        judged = self._raise_before(observed)
        batch = self._batch(raised)
        verdicts = self._ask(scored, windows, batch.known)
        batch.add(scored, verdicts)
        self._latest = _Latest(observed, windows, [verdicts])
        return judged

    def _take_again(self, scored: Scored, raised: int) -> None:
        verdicts = self._latest.new(self._ask(scored, self._latest.windows, self._known))
        self._latest.verdicts.append(verdicts)
        self._batch(raised).add(scored, verdicts, again=True)

    def _batch(self, raised: int) -> _Waiting:
        if raised not in self._waiting:
            self._waiting[raised] = _Waiting(self._known_now())
        return self._waiting[raised]

    def finish(self) -> list[Judged]:
        """The records whose verdicts had not come in yet."""
        return self._raise_before(None)

    def _known_now(self) -> dict[str, Known]:
        return {name: Known(one.known) for name, one in self._episodes.items()}

    def _ask(
        self, scored: Scored, windows: Mapping[str, Windows], known: Mapping[str, Known]
    ) -> Verdicts:
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
            for scored, verdicts in self._waiting.pop(one).in_order()
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


def _identity(scored: Scored) -> Hashable:
    """What is one record. In a file, where nobody numbered them, a line may be there twice."""
    if scored.turn:
        return scored.origin, scored.id, scored.time
    return scored.origin.topic, scored.id, scored.time, scored.title, scored.text


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
