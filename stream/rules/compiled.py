"""One rule, compiled: its conditions, and what is known of it beforehand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from models.spec import Head
from stream.rules.conditions import compile_condition, fields_used
from stream.rules.necessary import Necessary, find_necessary
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import Rule
from stream.rules.templates import wrong_placeholders
from stream.rules.variables import PER_SUBJECT


class Condition(msgspec.Struct, frozen=True, eq=False):
    program: Any
    necessary: Necessary


class Compiled(msgspec.Struct, frozen=True, eq=False):
    """reads: variable to the fields of it that either condition reads, "*" for all.

    per_subject: whether the answer may differ from subject to subject of one event. lasts: whether
    it matters that the condition does not hold.
    """

    rule: Rule
    when: Condition
    resolve: Condition | None
    reads: dict[str, set[str]]
    reads_attributes: bool
    reads_signal: bool
    per_subject: bool
    takes_copies: bool
    lasts: bool


def compile_rule(rule: Rule, heads: Sequence[Head], where: str) -> Compiled:
    """Raises RuleError with every fault, each beginning with where."""
    names = {head.name for head in heads}
    conditions: dict[str, Condition] = {}
    faults: list[str] = []
    for field, expression in (("when", rule.when), ("resolve", rule.resolve)):
        try:
            if expression or field == "when":
                program = compile_condition(expression, heads, where, field=field)
                conditions[field] = Condition(program, find_necessary(expression, names))
        except RuleError as error:
            faults += error.faults
    faults += [f"{where}: {fault}" for fault in wrong_placeholders(rule, heads)]
    if faults:
        raise RuleError(*faults)
    reads = _reads(rule)
    if rule.subject == "event" and "signal" in reads:
        raise RuleError(f"{where}: subject is 'event', which has no signal; choose another")
    of_event = reads.get("event", set())
    return Compiled(
        rule,
        conditions["when"],
        conditions.get("resolve"),
        reads,
        reads_attributes=not of_event.isdisjoint({"attributes", "*"}),
        reads_signal="signal" in reads,
        per_subject=not PER_SUBJECT.isdisjoint(reads),
        takes_copies=not of_event.isdisjoint({"novelty", "copy_of"}),
        lasts=bool(rule.resolve or rule.for_),
    )


def _reads(rule: Rule) -> dict[str, set[str]]:
    reads = fields_used(rule.when)
    for name, fields in fields_used(rule.resolve).items():
        reads.setdefault(name, set()).update(fields)
    return reads
