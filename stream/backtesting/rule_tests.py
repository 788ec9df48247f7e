"""Examples beside the rules: events as a rule's author imagines them, and the alerts they expect.

[[test]]
name = "four angry posts, a minute apart"
events = [{ source = "social", tickers = ["HALC"], sentiment = "negative", repeat = 4 }]
expect = [{ rule = "anger", subject = "ticker:HALC", count = 4 }]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from models.spec import BatchInfo, Head, HeadScore, Scores
from stream.backtesting.backtest import Backtest
from stream.config import durations
from stream.config.settings import Settings
from stream.names import SourceKind
from stream.records import Alert, AlertState, Event, Origin, Scored, Severity
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import Placed, RuleFile
from stream.rules.rule_set import RuleSet
from stream.subjects.finder import SubjectFinder

BEGIN = datetime(2026, 1, 5, 9, tzinfo=UTC)
MAX_EVENTS = 10_000
SURE = 0.95


class _Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Some events of one test; after counts from the test's begin, every between repeats."""

    source: SourceKind = "news"
    after: str = "0s"
    repeat: Annotated[int, msgspec.Meta(ge=1)] = 1
    every: str = "1m"
    text: str = "An example."
    title: str = ""
    author: str = ""
    customer: str = ""
    lang: str = "en"
    tickers: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    label: str
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = SURE
    abstained: bool = False


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An alert that must be there when the events are over; what is left out may be anything."""

    rule: str
    subject: str = ""
    severity: Severity | None = None
    state: AlertState | None = None
    count: int | None = None
    episode: int | None = None


class _Test(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    events: list[dict[str, Any]]
    expect: list[Expected] = []


class Verdict(msgspec.Struct, frozen=True):
    """faults is empty when the test passed."""

    name: str
    where: str
    faults: list[str]


def check_tests(file: RuleFile, heads: Sequence[Head]) -> None:
    """Raises RuleError with every fault in how the examples are written."""
    faults: list[str] = []
    for placed in file.tests:
        try:
            _events(_read(placed, file), heads, placed.where)
        except RuleError as error:
            faults += error.faults
    if faults:
        raise RuleError(*faults)


def run_tests(file: RuleFile, heads: Sequence[Head], settings: Settings) -> list[Verdict]:
    """Each example on its own, with nothing remembered before. Raises RuleError."""
    check_tests(file, heads)
    verdicts = []
    finder = SubjectFinder.load(settings.subjects)
    for placed in file.tests:
        test = _read(placed, file)
        rules = RuleSet(file.rules, heads, signals=settings.signals)
        backtest = Backtest(
            {"": rules},
            signals=settings.signals,
            quiet_s=settings.alerting.quiet_s,
        )
        for event, scores in _events(test, heads, placed.where):
            backtest.feed(_scored(event, scores, finder))
        faults = _differences(test.expect, backtest.outcome("").alerts)
        verdicts.append(Verdict(test.name, placed.where, faults))
    return verdicts


def _read(placed: Placed, file: RuleFile) -> _Test:
    try:
        test = msgspec.convert(placed.entry, _Test)
    except msgspec.ValidationError as error:
        raise RuleError(f"{placed.where}: {error}") from None
    rules = {rule.name for rule in file.rules.values()}
    for expected in test.expect:
        if expected.rule not in rules:
            raise RuleError(
                f"{placed.where}: expects an alert of the unknown rule {expected.rule!r}"
            )
    return test


def _events(test: _Test, heads: Sequence[Head], where: str) -> list[tuple[Event, Scores]]:
    made: list[tuple[Event, Scores]] = []
    for place, entry in enumerate(test.events, 1):
        answers = {head.name: entry[head.name] for head in heads if head.name in entry}
        plain = {name: value for name, value in entry.items() if name not in answers}
        try:
            event = msgspec.convert(plain, _Event)
            scores = {head.name: _score(head, answers.get(head.name), where) for head in heads}
            after, every = _span(event.after), durations.seconds(event.every)
            if len(made) + event.repeat > MAX_EVENTS:
                raise RuleError(f"{where}: makes more than {MAX_EVENTS:,} events")
            times = [BEGIN + timedelta(seconds=after + at * every) for at in range(event.repeat)]
        except (msgspec.ValidationError, ValueError) as error:
            raise RuleError(f"{where}: event {place}: {error}") from None
        except OverflowError:
            raise RuleError(f"{where}: event {place}: lies too far ahead") from None
        made += [
            (_event(event, number, time), scores) for number, time in enumerate(times, len(made))
        ]
    return made


def _span(text: str) -> int:
    return 0 if text == "0s" else durations.seconds(text)


def _score(head: Head, given: Any, where: str) -> HeadScore:
    """As the author gave it: a label, or a table; a head that is not given abstained."""
    if given is None:
        even = 1 / len(head.labels)
        return HeadScore(head.labels[-1], even, dict.fromkeys(head.labels, even), abstained=True)
    answer = _Answer(given) if isinstance(given, str) else msgspec.convert(given, _Answer)
    if answer.label not in head.labels:
        known = ", ".join(head.labels)
        raise RuleError(f"{where}: {head.name} has no label {answer.label!r}; known are {known}")
    rest = (1 - answer.confidence) / max(len(head.labels) - 1, 1)
    scores = {name: answer.confidence if name == answer.label else rest for name in head.labels}
    return HeadScore(answer.label, answer.confidence, scores, answer.abstained)


def _event(given: _Event, number: int, time: datetime) -> Event:
    return Event(
        id=f"e-{number + 1}",
        source=given.source,
        origin=Origin("test", 0, number),
        key=None,
        text=given.text,
        time=time,
        received_at=time,
        title=given.title,
        author=given.author,
        lang=given.lang,
        customer=given.customer,
        tickers=given.tickers,
        attributes=given.attributes,
    )


def _scored(event: Event, scores: Scores, finder: SubjectFinder) -> Scored:
    topic = scores.get("topic")
    return Scored(
        id=event.id,
        source=event.source,
        origin=event.origin,
        time=event.time,
        received_at=event.time,
        scored_at=event.time,
        title=event.title,
        text=event.text,
        author=event.author,
        customer=event.customer,
        lang=event.lang,
        subjects=finder.find(event, topic.label if topic and not topic.abstained else None),
        heads=scores,
        unreadable="",
        model="test",
        batch=BatchInfo(1, 1, 0.0, "idle"),
        attributes=event.attributes,
    )


def _differences(expected: Sequence[Expected], alerts: Sequence[Alert]) -> list[str]:
    found = _matched(expected, alerts)
    left = [alert for place, alert in enumerate(alerts) if place not in found.values()]
    faults: list[str] = []
    for place, wanted in enumerate(expected):
        if place in found:
            continue
        near = next((alert for alert in left if alert.rule == wanted.rule), None)
        if near:
            left.remove(near)
            faults.append(f"{_shown(wanted)}: {'; '.join(_unlike(wanted, near))}")
        else:
            faults.append(f"missing: {_shown(wanted)}")
    others = Counter(
        f"unexpected: rule {alert.rule}, subject {alert.subject}, severity {alert.severity}, "
        f"state {alert.state}, count {alert.count}"
        for alert in left
    )
    faults += [
        other if times == 1 else f"{other}, {times} times" for other, times in others.items()
    ]
    return faults


def _matched(expected: Sequence[Expected], alerts: Sequence[Alert]) -> dict[int, int]:
    """Which alert is which of those expected, by place, for as many as can be at once.

    One that says little may be any of several alerts, and must leave another the one that it needs.
    """
    found: dict[int, int] = {}
    for place in range(len(expected)):
        reached: dict[int, int] = {}
        asked = [place]
        while asked:
            wanted = asked.pop()
            like = (
                at
                for at, alert in enumerate(alerts)
                if at not in reached and not _unlike(expected[wanted], alert)
            )
            for at in like:
                reached[at] = wanted
                holder = next((one for one, alert in found.items() if alert == at), None)
                if holder is None:
                    _hand_over(at, reached, found)
                    asked = []
                    break
                asked.append(holder)
    return found


def _hand_over(free: int, reached: Mapping[int, int], found: dict[int, int]) -> None:
    """Give a free alert to what reached it, and what that had to what reached it, and so on."""
    at: int | None = free
    while at is not None:
        wanted = reached[at]
        found[wanted], at = at, found.get(wanted)


def _unlike(wanted: Expected, alert: Alert) -> list[str]:
    fields: Mapping[str, Any] = msgspec.to_builtins(wanted)
    return [
        f"{name} is {getattr(alert, name)}, expected {value}"
        for name, value in fields.items()
        if getattr(alert, name) != value
    ]


def _shown(wanted: Expected) -> str:
    fields: Mapping[str, Any] = msgspec.to_builtins(wanted)
    return ", ".join(f"{name} {value}" for name, value in fields.items())
