"""Compiled rules: a scored event and the windows of its subjects go in, verdicts come out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cel
import msgspec

from models.spec import DEFAULT_HEADS, Head
from stream.conditions import RuleError, compile_condition, fields_used
from stream.figures import figures
from stream.names import SOURCE_KINDS, SourceKind
from stream.records import Scored, Subject
from stream.rule_file import Rule, RuleFile, read_rule_file
from stream.settings import Signals
from stream.signals import Windows
from stream.templates import check_placeholders, fill, quotable
from stream.variables import PER_SUBJECT, of_event, of_subject

SIGNAL_DIGITS = 4

Outcome = Literal["holds", "fails", "resolves"]
Clock = Callable[[], float]


class Match(msgspec.Struct, frozen=True):
    """The verdict of a rule on an event, about one subject ("<kind>:<id>").

    It holds, or it resolves the alert, or it fails, which is told only of rules that wait (`for`).
    signal holds the figures of the subject's windows with the event in them.
    """

    rule: Rule
    subject: str
    title: str
    summary: str
    outcome: Outcome = "holds"
    signal: dict[str, float] = {}


class _Compiled(msgspec.Struct, frozen=True):
    rule: Rule
    when: Any
    resolve: Any
    reads_attributes: bool
    reads_signal: bool
    takes_copies: bool


class _Plan(msgspec.Struct):
    """The rules for one kind of source: what is asked once an event and what once a subject."""

    once: list[_Compiled] = []
    per_subject: dict[str, list[_Compiled]] = {}
    used: dict[str, set[str]] = {}


class RuleSet:
    """Compiled rules. One that errs or is slow on an event is counted and does not stop the rest.

    errors and slow count by rule name, last_error says what was wrong last.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        heads: Sequence[Head] = DEFAULT_HEADS,
        *,
        signals: Signals | None = None,
        clock: Clock | None = None,
        slow_s: float = 0.005,
    ) -> None:
        """Takes rules by where they stand, which begins every message. Raises RuleError.

        clock measures how long a rule takes on an event; without one no rule counts as slow.
        """
        # By kind of source, and whether the event is a copy.
        self._plans: dict[tuple[SourceKind, bool], _Plan] = {
            (kind, copy): _Plan() for kind in SOURCE_KINDS for copy in (False, True)
        }
        self._signals = signals or Signals()
        self._clock = clock
        self._slow_s = slow_s
        self.errors: Counter[str] = Counter()
        self.slow: Counter[str] = Counter()
        self.last_error: dict[str, str] = {}
        self._count = 0
        faults: list[str] = []
        for where, rule in rules.items():
            try:
                compiled = _compile(rule, heads, where)
            except RuleError as error:
                faults += error.faults
                continue
            if rule.enabled:
                self._count += 1
                for kind in rule.sources or SOURCE_KINDS:
                    _add(self._plans[kind, False], compiled)
                    if compiled.takes_copies:
                        _add(self._plans[kind, True], compiled)
        if faults:
            raise RuleError(*faults)

    def __len__(self) -> int:
        return self._count

    @classmethod
    def load(
        cls,
        path: Path | None,
        heads: Sequence[Head] = DEFAULT_HEADS,
        *,
        kinds: Sequence[str] = (),
        **options: Any,
    ) -> RuleSet:
        """Read and check a rule file, the shipped one if None. Raises RuleError.

        kinds are those of subjects that the settings add.
        """
        return cls.of(read_rule_file(path, kinds), heads, **options)

    @classmethod
    def of(cls, file: RuleFile, heads: Sequence[Head] = DEFAULT_HEADS, **options: Any) -> RuleSet:
        return cls(file.rules, heads, **options)

    def succeed(self, former: RuleSet) -> None:
        """Go on counting where the rules that these replace stopped."""
        self.errors, self.slow = former.errors, former.slow
        self.last_error = former.last_error

    @property
    def read_signals(self) -> bool:
        """Whether any condition asks for a subject's windows."""
        return any("signal" in plan.used for plan in self._plans.values())

    def match(self, scored: Scored, windows: Mapping[str, Windows] | None = None) -> list[Match]:
        """A verdict for each rule and each subject of its kind that it says something of.

        windows are those of the event's subjects with it folded in; a condition that reads signal
        says nothing of a subject that is not among them. A copy is no news: only rules that read
        event.novelty or event.copy_of are asked about it. Never raises.
        """
        plan = self._plans[scored.source, bool(scored.copy_of)]
        if not (plan.once or plan.per_subject):
            return []
        context = cel.Context(variables=of_event(scored, plan.used))
        subjects = _Subjects(scored, windows or {}, self._signals)
        matches: list[Match] = []
        for compiled in plan.once:
            if outcome := self._judge(compiled, context):
                matches.extend(
                    subjects.match(compiled.rule, subject, outcome)
                    for subject in subjects.of(compiled.rule.subject)
                )
        for kind, group in plan.per_subject.items():
            for subject in subjects.of(kind):
                seen = subjects.figures(subject) if "signal" in plan.used else None
                for name, values in of_subject(subject, seen, plan.used):
                    context.add_variable(name, values)
                for compiled in group:
                    if compiled.reads_signal and seen is None:
                        continue
                    if outcome := self._judge(compiled, context):
                        matches.append(subjects.match(compiled.rule, subject, outcome))
        return matches

    def _judge(self, compiled: _Compiled, context: Any) -> Outcome | None:
        clock = self._clock
        began = clock() if clock else 0.0
        holds = self._ask(compiled, compiled.when, context)
        outcome: Outcome | None = None
        if holds:
            outcome = "holds"
        elif holds is False:
            if compiled.resolve and self._ask(compiled, compiled.resolve, context):
                outcome = "resolves"
            elif compiled.rule.for_:
                outcome = "fails"
        if clock and clock() - began > self._slow_s:
            self.slow[compiled.rule.name] += 1
        return outcome

    def _ask(self, compiled: _Compiled, program: Any, context: Any) -> bool | None:
        """None when the condition can't be answered for this event."""
        try:
            answer = program.execute(context)
        except Exception as error:  # noqa: BLE001 - cel raises many kinds; none may stop the stream
            # An attribute that this event does not carry is no fault of the rule.
            if isinstance(error, KeyError) and compiled.reads_attributes:
                return False
            self._count_error(compiled.rule, f"{type(error).__name__}: {error}")
            return None
        if answer is True or answer is False:
            return answer
        self._count_error(compiled.rule, f"gave {type(answer).__name__}, not a bool")
        return None

    def _count_error(self, rule: Rule, message: str) -> None:
        self.errors[rule.name] += 1
        self.last_error[rule.name] = message


class _Subjects:
    """The subjects of one event, with what is worked out of them only once."""

    def __init__(self, scored: Scored, windows: Mapping[str, Windows], settings: Signals) -> None:
        self._scored = scored
        self._windows = windows
        self._settings = settings
        self._figures: dict[str, dict[str, float]] = {}
        self._values: dict[str, str] | None = None

    def of(self, kind: str) -> list[Subject]:
        if kind == "event":
            return [Subject("event", self._scored.id)]
        if kind == "source":
            return [Subject("source", self._scored.source)]
        return [subject for subject in self._scored.subjects if subject.kind == kind]

    def figures(self, subject: Subject) -> dict[str, float] | None:
        name = f"{subject.kind}:{subject.id}"
        found = self._figures.get(name)
        if found is None:
            windows = self._windows.get(name)
            if windows is None:
                return None
            found = self._figures[name] = figures(windows, self._settings)
        return found

    def match(self, rule: Rule, subject: Subject, outcome: Outcome) -> Match:
        name = f"{subject.kind}:{subject.id}"
        if outcome == "fails":
            return Match(rule, name, "", "", outcome)
        if self._values is None:
            self._values = quotable(self._scored)
        signal = {
            figure: round(value, SIGNAL_DIGITS)
            for figure, value in (self.figures(subject) or {}).items()
        }
        values = {
            **self._values,
            **{f"signal.{figure}": f"{value:.2f}" for figure, value in signal.items()},
            "subject": subject.id,
        }
        title, summary = fill(rule.title, values), fill(rule.summary, values)
        return Match(rule, name, title, summary, outcome, signal)


def _compile(rule: Rule, heads: Sequence[Head], where: str) -> _Compiled:
    when = compile_condition(rule.when, heads, where)
    resolve = None
    if rule.resolve:
        resolve = compile_condition(rule.resolve, heads, where, field="resolve")
    check_placeholders(rule, heads, where)
    reads = _reads(rule)
    if rule.subject == "event" and "signal" in reads:
        raise RuleError(f"{where}: subject is 'event', which has no signal; choose another")
    asked = reads.get("event", set())
    return _Compiled(
        rule,
        when,
        resolve,
        reads_attributes=not asked.isdisjoint({"attributes", "*"}),
        reads_signal="signal" in reads,
        takes_copies=not asked.isdisjoint({"novelty", "copy_of"}),
    )


def _reads(rule: Rule) -> dict[str, set[str]]:
    reads = fields_used(rule.when)
    for name, fields in fields_used(rule.resolve).items():
        reads.setdefault(name, set()).update(fields)
    return reads


def _add(plan: _Plan, compiled: _Compiled) -> None:
    reads = _reads(compiled.rule)
    if PER_SUBJECT.isdisjoint(reads):
        plan.once.append(compiled)
    else:
        plan.per_subject.setdefault(compiled.rule.subject, []).append(compiled)
    for name, fields in reads.items():
        plan.used.setdefault(name, set()).update(fields)
