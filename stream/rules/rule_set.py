"""Compiled rules: a scored event and the windows of its subjects go in, verdicts come out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from models.spec import DEFAULT_HEADS, Head
from stream.config.signals import Signals
from stream.names import SOURCE_KINDS, SourceKind
from stream.records import Scored
from stream.rules.compiled import Compiled, Condition, compile_rule
from stream.rules.plan import Plan
from stream.rules.question import Question, subjects_of
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import Rule, read_rule_file
from stream.signals.windows import Windows

Outcome = Literal["holds", "fails", "resolves"]
Clock = Callable[[], float]


class Match(msgspec.Struct, frozen=True, gc=False):
    """The verdict of a rule on an event, about one subject ("<kind>:<id>").

    It holds, or it resolves the alert, or it fails, which is told only of rules that wait (`for`).
    Only one that holds has a title and a summary: what ends an alert is not what it is about.
    signal holds the figures of the subject's windows with the event in them. repeats: it may only
    repeat what the event did when it was delivered before.
    """

    rule: Rule
    subject: str
    title: str
    summary: str
    outcome: Outcome = "holds"
    signal: dict[str, float] = {}
    repeats: bool = False


class Known:
    """The rules that have, or lately had, an alert or a wait about a subject ("<kind>:<id>").

    To what was before a micro-batch its own verdicts are added, which others don't see yet.
    """

    def __init__(self, before: Mapping[str, Collection[str]]) -> None:
        self._before = before
        self._since: dict[str, set[str]] = {}

    def about(self, subject: str) -> Collection[str]:
        before = self._before.get(subject, ())
        if self._since and (since := self._since.get(subject)):
            return since.union(before)
        return before

    def add(self, matches: Iterable[Match]) -> None:
        for match in matches:
            if match.outcome == "holds":
                self._since.setdefault(match.subject, set()).add(match.rule.name)


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
        self._signals = signals or Signals()
        self._clock = clock
        self._slow_s = slow_s
        self.errors: Counter[str] = Counter()
        self.slow: Counter[str] = Counter()
        self.last_error: dict[str, str] = {}
        faults: list[str] = []
        made: list[Compiled] = []
        for where, rule in rules.items():
            try:
                made.append(compile_rule(rule, heads, where))
            except RuleError as error:
                faults += error.faults
        if faults:
            raise RuleError(*faults)
        self._rules = [compiled for compiled in made if compiled.rule.enabled]
        self._plans = {kind: Plan(self._of_source(kind)) for kind in SOURCE_KINDS}
        # A copy is no news: only rules that read its novelty are asked about it.
        self._plans_of_copies = {
            kind: Plan([one for one in self._of_source(kind) if one.takes_copies])
            for kind in SOURCE_KINDS
        }

    def __len__(self) -> int:
        return len(self._rules)

    @property
    def names(self) -> list[str]:
        return [compiled.rule.name for compiled in self._rules]

    @classmethod
    def load(
        cls,
        path: Path | None,
        heads: Sequence[Head] = DEFAULT_HEADS,
        kinds: Collection[str] = (),
        **options: Any,
    ) -> RuleSet:
        """Read and check a rule file, the shipped one if None. Raises RuleError.

        kinds are those of subjects that the settings add.
        """
        return cls(read_rule_file(path, kinds).rules, heads, **options)

    def succeed(self, former: RuleSet) -> None:
        """Go on counting where the rules that these replace stopped."""
        self.errors, self.slow = former.errors, former.slow
        self.last_error = former.last_error

    @property
    def subject_kinds(self) -> set[str]:
        """The kinds of subjects that any rule in force is about."""
        return {compiled.rule.subject for compiled in self._rules}

    def lasting(self, batch: Iterable[Scored]) -> set[str]:
        """The subjects of which rules that wait or resolve may say more than "it holds"."""
        return {
            f"{subject.kind}:{subject.id}"
            for scored in batch
            for kind in self._plan(scored).lasting
            for subject in subjects_of(scored, kind)
        }

    def match(
        self,
        scored: Scored,
        windows: Mapping[str, Windows] | None = None,
        known: Known | None = None,
    ) -> list[Match]:
        """A verdict for each rule and each subject of its kind that it says something of.

        windows are those of the event's subjects with it folded in; a condition that reads signal
        says nothing of a subject that is not among them. known tells of which rules and subjects
        there is an alert or a wait, None of all: only of them is it told that a rule fails or
        resolves. Never raises.
        """
        plan = self._plan(scored)
        question: Question | None = None
        around = windows or {}
        matches: list[Match] = []
        for kind, group in plan.groups.items():
            subjects = subjects_of(scored, kind)
            if not subjects:
                continue
            said = group.said(scored.heads)
            for subject in subjects:
                name = f"{kind}:{subject.id}"
                own = around.get(name)
                rules = None if known is None else known.about(name)
                asked = group.asked(said, own, self._signals, rules)
                if not asked:
                    continue
                question = question or Question(scored, plan.used, self._signals)
                question.turn_to(subject, name, own)
                for compiled in asked:
                    lasts = rules is None or compiled.rule.name in rules
                    outcome = self._judge(compiled, question, lasts=lasts)
                    if outcome:
                        matches.append(_match(compiled.rule, question, outcome))
        return matches

    def _plan(self, scored: Scored) -> Plan:
        return (self._plans_of_copies if scored.copy_of else self._plans)[scored.source]

    def _of_source(self, kind: SourceKind) -> list[Compiled]:
        return [one for one in self._rules if kind in (one.rule.sources or SOURCE_KINDS)]

    def _judge(self, compiled: Compiled, question: Question, *, lasts: bool) -> Outcome | None:
        """lasts: whether it matters that the condition does not hold."""
        if compiled.reads_signal and not question.has_signal:
            return None
        holds = self._answer(compiled, compiled.when, question)
        if holds:
            return "holds"
        if holds is None or not lasts:
            return None
        if compiled.resolve and self._answer(compiled, compiled.resolve, question):
            return "resolves"
        return "fails" if compiled.rule.for_ else None

    def _answer(self, compiled: Compiled, condition: Condition, question: Question) -> bool | None:
        """Whether the condition holds; None when that can't be told for this event."""
        if condition in question.answers:
            return question.answers[condition]
        answer = question.without_cel(condition.necessary)
        if answer is None:
            answer = self._execute(compiled, condition, question)
        if not compiled.per_subject:
            question.answers[condition] = answer
        return answer

    def _execute(self, compiled: Compiled, condition: Condition, question: Question) -> bool | None:
        """What CEL says; None when the condition can't be answered for this event."""
        context = question.context(per_subject=compiled.per_subject)
        began = self._clock() if self._clock else 0.0
        try:
            answer = condition.program.execute(context)
        except Exception as error:  # noqa: BLE001 - cel raises many kinds; none may stop the stream
            # An attribute that this event does not carry is no fault of the rule.
            if isinstance(error, KeyError) and compiled.reads_attributes:
                return False
            self._count_error(compiled.rule, f"{type(error).__name__}: {error}")
            return None
        if self._clock and self._clock() - began > self._slow_s:
            self.slow[compiled.rule.name] += 1
        if answer is True or answer is False:
            return answer
        self._count_error(compiled.rule, f"gave {type(answer).__name__}, not a bool")
        return None

    def _count_error(self, rule: Rule, message: str) -> None:
        self.errors[rule.name] += 1
        self.last_error[rule.name] = message


def _match(rule: Rule, question: Question, outcome: Outcome) -> Match:
    """The verdict on the subject in question."""
    name = question.subject_name
    if outcome == "fails":
        return Match(rule, name, "", "", outcome)
    signal = question.figures()
    if outcome == "resolves":
        return Match(rule, name, "", "", outcome, signal)
    title, summary = question.fill(rule.title, signal), question.fill(rule.summary, signal)
    return Match(rule, name, title, summary, outcome, signal)
