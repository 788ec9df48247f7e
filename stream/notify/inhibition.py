"""Which open alerts keep others from being notified. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stream.alerts.matchers import Matcher, all_hold

Labels = Mapping[str, str]


class InhibitRule(msgspec.Struct, frozen=True):
    """An open source hides targets that have equal labels.

    As in Alertmanager, an alert that is both source and target is not hidden by another that is
    both, so that two of a kind do not hide each other.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def key(self, labels: Labels) -> tuple[str, ...]:
        return tuple(labels.get(name, "") for name in self.equal)


class Inhibitors:
    """The open alerts of one moment, arranged so that looking a target up costs next to nothing."""

    def __init__(self, rules: Sequence[InhibitRule], alerts: Iterable[tuple[str, Labels]]) -> None:
        self._rules = rules
        self._sources: list[dict[tuple[str, ...], list[tuple[str, bool]]]] = [
            defaultdict(list) for _ in rules
        ]
        for alert_id, labels in alerts if rules else ():
            for rule, sources in zip(rules, self._sources, strict=True):
                if all_hold(rule.source, labels):
                    both = all_hold(rule.target, labels)
                    sources[rule.key(labels)].append((alert_id, both))

    def hiding(self, alert_id: str, labels: Labels) -> str:
        """The id of an open alert that hides this one, or nothing."""
        for rule, sources in zip(self._rules, self._sources, strict=True):
            found = sources.get(rule.key(labels))
            if not found or not all_hold(rule.target, labels):
                continue
            is_source = all_hold(rule.source, labels)
            for source_id, both in found:
                if source_id != alert_id and not (both and is_source):
                    return source_id
        return ""
