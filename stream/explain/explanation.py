"""The explanation of an alert as records, and whether a replay gave the same. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import cel
import msgspec

from models.explanation import Attribution, Edit, Neighbour
from models.spec import Head, HeadScore, Scores
from stream.explain.rounding import possible_answers
from stream.records import Alert, Evidence, Origin, Scored, Subject
from stream.rules.conditions import compile_condition, fields_used
from stream.rules.question import SIGNAL_DIGITS
from stream.rules.rule_file import Rule
from stream.rules.variables import of_event, of_subject

MAX_DIFFERENCE = 0.2
"""A worker may have computed in int8, which a record does not tell; docs/performance.md has by how
much that moves a probability: beyond this in one text of 4,288."""


class ExplainedHead(msgspec.Struct, frozen=True):
    """A head's answer to a text, what it rests on, what would change it, and what is like it.

    Below the confidence abstain_below the head abstains.
    """

    score: HeadScore
    attribution: Attribution
    smallest_edit: Edit | None
    nearest: list[Neighbour]
    abstain_below: float = 0.0


class ExplainedText(msgspec.Struct, frozen=True):
    """unreadable says why every head abstains from the text; empty where the model can read it."""

    text: str
    model: str
    heads: dict[str, ExplainedHead]
    unreadable: str = ""


class ExplainedEvent(msgspec.Struct, frozen=True):
    """One event of the evidence: what was scored then, and what the same model says now.

    copies are the near copies of it that were counted and not judged. text is what the model reads.
    """

    event_id: str
    source: str
    time: datetime
    origin: Origin | None
    copies: int
    scores: dict[str, HeadScore]
    explained: ExplainedText


class Replayed(msgspec.Struct, frozen=True):
    """One event read and scored again. read_from is "log" or, where it is gone, "evidence".

    difference is the largest of all probabilities; matches wants every answer as it was, too.
    """

    event_id: str
    read_from: Literal["log", "evidence"]
    matches: bool
    difference: float


class Decision(msgspec.Struct, frozen=True):
    """Whether the rule says of the last event what it said then.

    why, where it does not or can't be asked, and where it is repeated only as far as can be known.
    """

    repeated: bool
    why: str = ""


class Replay(msgspec.Struct, frozen=True):
    """matches: every event has the scores of then, and the rule says the same of the last."""

    matches: bool
    events: list[Replayed]
    decision: Decision

    @classmethod
    def of(cls, events: Sequence[Replayed], decision: Decision) -> Replay:
        matches = decision.repeated and all(event.matches for event in events)
        return cls(matches, list(events), decision)


class ExplainedAlert(msgspec.Struct, frozen=True):
    """An alert with everything that led to it. rule is None where the rules hold it no more.

    rule_changed says that the rule is another one now than the one that raised the alert.
    """

    alert: Alert
    rule: dict[str, Any] | None
    rule_changed: bool
    related: list[str]
    events: list[ExplainedEvent]
    replay: Replay | None = None


def compare(
    before: Evidence,
    now: Scores,
    read_from: Literal["log", "evidence"],
    heads: Sequence[Head],
) -> Replayed:
    """Scores of then and now; a head that either lacks counts as a difference of 1.

    heads are the model's, which know from what confidence on each answers.
    """
    names = before.scores.keys() | now.keys()
    both = before.scores.keys() & now.keys()
    differences = [
        abs(before.scores[name].scores.get(label, 0.0) - score)
        for name in both
        for label, score in now[name].scores.items()
    ]
    difference = 1.0 if names > both else max(differences, default=0.0)
    bounds = {head.name: head.calibrated_for(before.source).abstain_below for head in heads}
    same_answers = names == both and all(
        _same_answer(before.scores[name], now[name], bounds.get(name, 0.0)) for name in both
    )
    return Replayed(
        event_id=before.event_id,
        read_from=read_from,
        matches=same_answers and difference <= MAX_DIFFERENCE,
        difference=round(difference, 4),
    )


def _same_answer(before: HeadScore, now: HeadScore, bound: float) -> bool:
    """Whether rounding alone may lie between the two.

    It never changes a label that either gives; it may carry a confidence over the bound below
    which a head abstains, and change what an abstaining head would have said.
    """
    if before.abstained and now.abstained:
        return True
    over_the_bound = (before.confidence < bound) != (now.confidence < bound)
    return before.label == now.label and (before.abstained == now.abstained or over_the_bound)


def decide(alert: Alert, rule: Rule | None, heads: Sequence[Head], last: Scored) -> Decision:
    """Ask the rule about the event of the last transition that an event caused, which is last, with
    the figures it saw then.

    Only the condition is asked: how long it held, and what came before, is the alert's own history.
    """
    if rule is None:
        return Decision(repeated=False, why=f"the rules hold no {alert.rule!r} any more")
    if rule.version != alert.rule_version:
        return Decision(
            repeated=False,
            why=f"the rule was changed: version {alert.rule_version} then, {rule.version} now",
        )
    kind, _, identity = alert.subject.partition(":")
    subject = next(
        (one for one in last.subjects if (one.kind, one.id) == (kind, identity)),
        Subject(kind, identity),
    )
    # Whom a person or its quiet time ended is asked about as what it was until then.
    resolved = alert.ended_by and rule.resolve
    field, condition = ("resolve", rule.resolve) if resolved else ("when", rule.when)
    program = compile_condition(condition, heads, f"rule {rule.name!r}", field=field)
    used = fields_used(condition)
    heard = of_event(last, used) | of_subject(subject, used)

    def ask(signal: Mapping[str, float]) -> bool:
        context = cel.Context(variables=heard | ({"signal": signal} if "signal" in used else {}))
        return program.execute(context) is True

    try:
        answers = possible_answers(ask, alert.signal, used.get("signal", ()))
    except Exception as error:  # noqa: BLE001 - cel raises many kinds
        return Decision(repeated=False, why=f"{field} can't be asked ({error})")
    if answers == {False}:
        return Decision(repeated=False, why=f"{field} does not hold for the event any more")
    if answers == {True}:
        return Decision(repeated=True)
    digits = f"the {SIGNAL_DIGITS} digits that the alert keeps of its figures"
    return Decision(repeated=True, why=f"as far as {digits} tell whether {field} holds")
