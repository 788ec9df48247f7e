"""How right alerts were, where people said which events should have raised one.

A labels file has a JSON object a line: {"event_id": "n-1", "alert": true}, and, where it is needed,
"source" (two sources use the id) and "rule" (said of this rule only; it goes before what is said
of all rules).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from stream.files.lines import InputError, every_line
from stream.names import SourceKind
from stream.records import DECODE_ERRORS, Alert, Scored, written_by_hand

ALL_RULES = "all rules"

Event = tuple[str, str]
"""Kind of source and id."""


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether an event should have been in an alert: of this rule, or of any."""

    event_id: str
    alert: bool
    source: SourceKind | Literal[""] = ""
    rule: str = ""


class Quality(msgspec.Struct, frozen=True):
    """How right one rule was.

    An alert is right when one of its events should have alerted, wrong when some of its events
    have labels and none should have, else unknown. precision is right / (right + wrong). wanted are
    the events that should have alerted, found those of them that are in an alert; recall is
    found / wanted. Both are in 0..1, None where there is nothing to divide by.
    """

    rule: str
    right: int
    wrong: int
    unknown: int
    precision: float | None
    wanted: int
    found: int
    recall: float | None


def read_labels(path: Path, rules: Collection[str]) -> list[Label]:
    """Raises InputError naming the line; rules are the names that a label may give."""
    labels: dict[tuple[str, str, str], Label] = {}
    for _, number, line in every_line(path):
        where = f"labels file {path}, line {number}"
        try:
            label = written_by_hand(msgspec.json.decode(line), Label)
        except DECODE_ERRORS as error:
            raise InputError(
                f'{where}: is no label ({error}); write {{"event_id": "…", "alert": true}}'
            ) from None
        if label.rule and label.rule not in rules:
            raise InputError(f"{where}: no rule is named {label.rule!r}")
        of = (label.event_id, label.source, label.rule)
        if labels.setdefault(of, label) != label:
            raise InputError(
                f"{where}: contradicts a line above about event {label.event_id!r}; keep one"
            )
    return list(labels.values())


class Marks:
    """What is known of the events of one run, and which of them alerts held."""

    def __init__(self, labels: Iterable[Label], rules: Mapping[str, Collection[str]]) -> None:
        """Rules are the names of rules by rule set; labels as read_labels gives them."""
        self._said: dict[str, dict[tuple[str, str], bool]] = defaultdict(dict)
        for label in labels:
            self._said[label.event_id][label.source, label.rule] = label.alert
        self._rules = rules
        self._seen: set[Event] = set()
        # By rule set and rule, the labelled events of each alert.
        self._held: dict[tuple[str, str], dict[str, set[Event]]] = defaultdict(dict)

    @property
    def matched(self) -> int:
        """How many of the labelled ids were among the records."""
        return len({event_id for _, event_id in self._seen})

    @property
    def labelled(self) -> int:
        """How many ids have labels."""
        return len(self._said)

    def feed(self, scored: Scored, transitions: Iterable[tuple[str, Alert]]) -> None:
        """A record, and what it caused by rule set."""
        if scored.id in self._said:
            self._seen.add((scored.source, scored.id))
        for name, alert in transitions:
            held = self._held[name, alert.rule].setdefault(alert.id, set())
            if alert.state == "resolved":  # by an event that says it is over
                continue
            # What waited for a `for` comes with the transition that fires: its latest five events.
            waited = alert.evidence if alert.state == "firing" else ()
            events = {(scored.source, scored.id), *((one.source, one.event_id) for one in waited)}
            held |= {event for event in events if event[1] in self._said}

    def quality(self, name: str) -> list[Quality]:
        """Of all rules of a rule set together, then of each."""
        every = {rule: self._held.get((name, rule), {}) for rule in self._rules[name]}
        each = [self._quality(rule, {rule: alerts}) for rule, alerts in every.items()]
        return [self._quality(ALL_RULES, every), *each]

    def _quality(self, title: str, rules: Mapping[str, Mapping[str, set[Event]]]) -> Quality:
        right = wrong = unknown = 0
        wanted: set[Event] = set()
        found: set[Event] = set()
        for rule, alerts in rules.items():
            asked = {event for event in self._seen if self._wanted(event, rule)}
            wanted |= asked
            for events in alerts.values():
                verdicts = {self._wanted(event, rule) for event in events} - {None}
                right += True in verdicts
                wrong += verdicts == {False}
                unknown += not verdicts
                found |= events & asked
        return Quality(
            title,
            right,
            wrong,
            unknown,
            round(right / (right + wrong), 4) if right + wrong else None,
            len(wanted),
            len(found),
            round(len(found) / len(wanted), 4) if wanted else None,
        )

    def _wanted(self, event: Event, rule: str) -> bool | None:
        source, event_id = event
        said = self._said[event_id]
        for key in ((source, rule), ("", rule), (source, ""), ("", "")):
            if key in said:
                return said[key]
        return None
