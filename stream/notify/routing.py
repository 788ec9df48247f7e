"""From an alert's labels to who is told, by which route, and what keeps it from them. Pure.

The vocabulary and the way of matching are Alertmanager's (its page "Configuration").
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from stream.alerts.matchers import Matcher, MatcherError, all_hold, named_rules, parse_matcher
from stream.config.durations import seconds
from stream.notify.inhibition import InhibitRule
from stream.notify.route_file import (
    Places,
    Route,
    RouteError,
    RouteFile,
    read_route_file,
    where,
)
from stream.notify.time_intervals import Calendar

ALL_LABELS = "..."
"""In group_by: a group for each set of labels, so in effect for each alert."""
MAX_DEPTH = 20


class Timing(msgspec.Struct, frozen=True):
    """Seconds: before the first notification of a group, between two, and until a repeat."""

    group_wait_s: int = 30
    group_interval_s: int = 300
    repeat_interval_s: int = 14_400


class Node(msgspec.Struct, frozen=True):
    """A route with everything it takes from its parents filled in."""

    path: str
    matchers: tuple[Matcher, ...]
    receiver: str
    goes_on: bool
    group_by: tuple[str, ...]
    timing: Timing
    mute: tuple[str, ...]
    active: tuple[str, ...]
    children: tuple[Node, ...]

    def group_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        names = labels if ALL_LABELS in self.group_by else self.group_by
        return {name: labels.get(name, "") for name in sorted(names)}


class Routing:
    """A routing file, checked. load() and the constructor raise RouteError."""

    def __init__(self, file: RouteFile, *, path: Path, places: Places) -> None:
        self._path = path
        self._places = places
        self._faults: list[str] = []
        self.receivers = {receiver.name: receiver for receiver in file.receivers}
        if len(self.receivers) < len(file.receivers):
            names = [receiver.name for receiver in file.receivers]
            twice = next(name for name in names if names.count(name) > 1)
            self._refuse("receivers", f"two receivers are named {twice!r}; names must differ")
        self._calendars: dict[str, Calendar] = {}
        # Also those that can't be read: a route that names one is right.
        self._intervals: set[str] = set()
        for number, interval in enumerate(file.time_intervals):
            section = f"time_intervals[{number}]"
            if interval.name in self._intervals:
                self._refuse(section, f"name {interval.name!r} is taken; names must differ")
            self._intervals.add(interval.name)
            try:
                self._calendars[interval.name] = Calendar(interval)
            except ValueError as error:
                self._refuse(section, str(error))
        self.inhibit_rules = [
            InhibitRule(
                self._matchers(rule.source_matchers, f"inhibit_rules[{number}].source_matchers"),
                self._matchers(rule.target_matchers, f"inhibit_rules[{number}].target_matchers"),
                rule.equal,
            )
            for number, rule in enumerate(file.inhibit_rules)
        ]
        if file.route.matchers or file.route.goes_on:
            self._refuse("route", "the root takes every alert; move matchers to route.routes")
        self.nodes: dict[tuple[str, str], Node] = {}
        self.root = self._node(file.route, "route", None)
        if self._faults:
            raise RouteError(*self._faults)

    @classmethod
    def load(cls, path: Path) -> Routing:
        file, places = read_route_file(path)
        return cls(file, path=path, places=places)

    def routes_of(self, labels: Mapping[str, str]) -> list[Node]:
        """The deepest routes that match, in the order of the file; never empty."""
        return _descend(self.root, labels)

    def label_names(self) -> set[str]:
        """Labels that the file asks for: in matchers, group_by and equal."""
        names = {matcher.name for matcher in self._all_matchers()}
        for node in _within(self.root):
            names.update(node.group_by)
        for rule in self.inhibit_rules:
            names.update(rule.equal)
        return names - {ALL_LABELS}

    def rule_names(self) -> set[str]:
        """Rules that matchers of the file name."""
        return named_rules(self._all_matchers())

    def muted(self, mute: Sequence[str], active: Sequence[str], now: datetime) -> bool:
        """Whether time intervals keep a route silent now. Names the file no longer has do not."""
        known = self._calendars
        return any(name in known and known[name].holds(now) for name in mute) or (
            any(name in known for name in active)
            and not any(name in known and known[name].holds(now) for name in active)
        )

    def _all_matchers(self) -> Iterator[Matcher]:
        for node in _within(self.root):
            yield from node.matchers
        for rule in self.inhibit_rules:
            yield from (*rule.source, *rule.target)

    def _node(self, route: Route, section: str, parent: Node | None) -> Node:
        matchers = self._matchers(route.matchers, f"{section}.matchers")
        if parent and not route.matchers:
            self._refuse(section, "matchers is missing; without one it would take every alert")
        receiver = route.receiver or (parent.receiver if parent else "")
        if not receiver and parent is None:
            self._refuse(section, "receiver is missing; the root must name the one that gets all")
        if route.receiver and receiver not in self.receivers:
            known = ", ".join(self.receivers) or "none"
            self._refuse(
                f"{section}.receiver", f"no receiver is named {receiver!r}; known: {known}"
            )
        for field in ("mute_time_intervals", "active_time_intervals"):
            for name in getattr(route, field):
                if name not in self._intervals:
                    self._refuse(f"{section}.{field}", f"no time interval is named {name!r}")
        group_by = (
            route.group_by if route.group_by is not None else (parent.group_by if parent else ())
        )
        own = "{" + ",".join(str(matcher) for matcher in matchers) + "}"
        path = same = f"{parent.path}/{own}" if parent else own
        # Groups are by path and receiver, and two routes may differ in their times alone.
        for number in itertools.count(2):
            if (path, receiver) not in self.nodes:
                break
            path = f"{same}#{number}"
        node = Node(
            path=path,
            matchers=matchers,
            receiver=receiver,
            goes_on=route.goes_on,
            group_by=group_by,
            timing=self._timing(route, section, parent.timing if parent else Timing()),
            mute=route.mute_time_intervals,
            active=route.active_time_intervals,
            children=(),
        )
        self.nodes[path, receiver] = node
        if route.routes and section.count(".") >= MAX_DEPTH:
            self._refuse(section, f"routes lie in each other more than {MAX_DEPTH} deep")
            return node
        children = tuple(
            self._node(child, f"{section}.routes[{number}]", node)
            for number, child in enumerate(route.routes)
        )
        return msgspec.structs.replace(node, children=children)

    def _timing(self, route: Route, section: str, above: Timing) -> Timing:
        spans: dict[str, int] = {}
        for field in ("group_wait", "group_interval", "repeat_interval"):
            text = getattr(route, field)
            if text == "0s" and field == "group_wait":
                spans[f"{field}_s"] = 0
            elif text is not None:
                try:
                    spans[f"{field}_s"] = seconds(text)
                except ValueError as error:
                    self._refuse(f"{section}.{field}", f"{text!r}: {error}")
                    return above
        timing = msgspec.structs.replace(above, **spans)
        if timing.repeat_interval_s < timing.group_interval_s:
            self._refuse(
                section, "repeat_interval is shorter than group_interval, so it could not be kept"
            )
            return above
        return timing

    def _matchers(self, texts: Sequence[str], section: str) -> tuple[Matcher, ...]:
        """Those that can be read."""
        matchers = []
        for text in texts:
            try:
                matchers.append(parse_matcher(text))
            except MatcherError as error:
                self._refuse(section, str(error))
        return tuple(matchers)

    def _refuse(self, section: str, reason: str) -> None:
        self._faults.append(f"{where(self._path, self._places, section)}: {reason}")


def _within(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _within(child)


def _descend(node: Node, labels: Mapping[str, str]) -> list[Node]:
    found: list[Node] = []
    for child in node.children:
        if all_hold(child.matchers, labels):
            found.extend(_descend(child, labels))
            if not child.goes_on:
                break
    return found or [node]
