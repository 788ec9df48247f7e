"""Compiled rules: a scored event and the windows of its subjects go in, verdicts come out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from models.spec import DEFAULT_HEADS, Head
from stream.names import SOURCE_KINDS, SourceKind
from stream.records import Scored
from stream.rules.conditions import RuleError
from stream.rules.plan import Compiled, Condition, Plan, add, asked_of, compile_rule
from stream.rules.question import Question, subjects_of
from stream.rules.rule_file import Rule, RuleFile, read_rule_file
from stream.signals.signal_settings import Signals
from stream.signals.windows import Windows

Outcome = Literal["holds", "fails", "resolves"]
About = tuple[str, str]
"""A rule's name and a subject, "<kind>:<id>"."""
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
        self._plans: dict[SourceKind, Plan] = {kind: Plan() for kind in SOURCE_KINDS}
        self._signals = signals or Signals()
        self._clock = clock
        self._slow_s = slow_s
        self.errors: Counter[str] = Counter()
        self.slow: Counter[str] = Counter()
        self.last_error: dict[str, str] = {}
        self._count = 0
        self._kinds: set[str] = set()
        faults: list[str] = []
        for where, rule in rules.items():
            try:
                compiled = compile_rule(rule, heads, where)
            except RuleError as error:
                faults += error.faults
                continue
            if rule.enabled:
                self._count += 1
                self._kinds.add(rule.subject)
                for kind in rule.sources or SOURCE_KINDS:
                    add(self._plans[kind], compiled)
        if faults:
            raise RuleError(*faults)

    def __len__(self) -> int:
        return self._count

    @classmethod
    def load(
        cls,
        path: Path | None,
        heads: Sequence[Head] = DEFAULT_HEADS,
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
    def subject_kinds(self) -> set[str]:
        """The kinds of subjects that any rule in force is about."""
        return self._kinds

    def lasting(self, batch: Iterable[Scored]) -> set[About]:
        """What the rules that wait or resolve may say something of beside "it holds"."""
        return {
            (name, f"{subject.kind}:{subject.id}")
            for scored in batch
            for name, kind in self._plans[scored.source].lasting
            for subject in subjects_of(scored, kind)
        }

    def match(
        self,
        scored: Scored,
        windows: Mapping[str, Windows] | None = None,
        known: set[About] | None = None,
    ) -> list[Match]:
        """A verdict for each rule and each subject of its kind that it says something of.

        windows are those of the event's subjects with it folded in; a condition that reads signal
        says nothing of a subject that is not among them. A copy is no news: only rules that read
        event.novelty or event.copy_of are asked about it. known are rules and subjects with an
        alert or a wait, None for all: only of them is it told that a rule fails or resolves. What
        holds now is added to it. Never raises.
        """
        plan = self._plans[scored.source]
        question = Question(scored, windows or {}, plan.used, self._signals)
        matches: list[Match] = []
        for compiled, signals in asked_of(plan.once, scored):
            # Such a rule reads no figures.
            may_hold = signals is not None
            if outcome := self._judge(compiled, question, None, may_hold=may_hold):
                for subject in subjects_of(scored, compiled.rule.subject):
                    question.turn_to(subject)
                    if _is_told(compiled, question, outcome, known):
                        matches.append(_match(compiled.rule, question, outcome))
                question.turn_to(None)
        for kind, group in plan.per_subject.items():
            subjects = subjects_of(scored, kind)
            asked = asked_of(group, scored) if subjects else ()
            for subject in subjects:
                question.turn_to(subject)
                for compiled, signals in asked:
                    may_hold = signals is not None and question.signals_hold(signals)
                    if not (may_hold or (compiled.lasts and _lasts(compiled, question, known))):
                        continue
                    outcome = self._judge(compiled, question, known, may_hold=may_hold)
                    if outcome and _is_told(compiled, question, outcome, known):
                        matches.append(_match(compiled.rule, question, outcome))
        return matches

    def _judge(
        self,
        compiled: Compiled,
        question: Question,
        known: set[About] | None,
        *,
        may_hold: bool,
    ) -> Outcome | None:
        """may_hold: whether the comparisons that `when` can't do without hold."""
        if compiled.reads_signal and not question.has_signal:
            return None
        holds = self._execute(compiled, compiled.when, question) if may_hold else False
        if holds:
            return "holds"
        if holds is None or not compiled.lasts or not _lasts(compiled, question, known):
            return None
        if (
            compiled.resolve
            and question.may_hold(compiled.resolve.necessary)
            and self._execute(compiled, compiled.resolve, question)
        ):
            return "resolves"
        return "fails" if compiled.rule.for_ else None

    def _execute(self, compiled: Compiled, condition: Condition, question: Question) -> bool | None:
        """What CEL says; None when the condition can't be answered for this event."""
        context = question.context()
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


def _lasts(compiled: Compiled, question: Question, known: set[About] | None) -> bool:
    """Whether there is an alert or a wait of which it matters that the condition does not hold."""
    return known is None or (compiled.rule.name, question.subject_name) in known


def _is_told(
    compiled: Compiled, question: Question, outcome: Outcome, known: set[About] | None
) -> bool:
    if known is None or not compiled.lasts:
        return True
    about = compiled.rule.name, question.subject_name
    if outcome == "holds":
        known.add(about)
    return about in known


def _match(rule: Rule, question: Question, outcome: Outcome) -> Match:
    """The verdict on the subject in question."""
    name = question.subject_name
    if outcome == "fails":
        return Match(rule, name, "", "", outcome)
    signal = question.figures()
    title, summary = question.fill(rule.title, signal), question.fill(rule.summary, signal)
    return Match(rule, name, title, summary, outcome, signal)
