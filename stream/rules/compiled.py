"""One rule, compiled: its conditions, and what is known of it beforehand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from models.spec import Head
from stream.rules.conditions import RuleError, compile_condition, fields_used
from stream.rules.necessary import Necessary, find_necessary
from stream.rules.rule_file import Rule
from stream.rules.templates import check_placeholders
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
    names = {head.name for head in heads}
    when = Condition(compile_condition(rule.when, heads, where), find_necessary(rule.when, names))
    resolve = None
    if rule.resolve:
        program = compile_condition(rule.resolve, heads, where, field="resolve")
        resolve = Condition(program, find_necessary(rule.resolve, names))
    check_placeholders(rule, heads, where)
    reads = _reads(rule)
    if rule.subject == "event" and "signal" in reads:
        raise RuleError(f"{where}: subject is 'event', which has no signal; choose another")
    of_event = reads.get("event", set())
    return Compiled(
        rule,
        when,
        resolve,
        reads,
        reads_attributes=not of_event.isdisjoint({"attributes", "*"}),
        reads_signal="signal" in reads,
        per_subject=not PER_SUBJECT.isdisjoint(reads),
        takes_copies=not of_event.isdisjoint({"novelty", "copy_of"}),
        lasts=rule.lasts,
    )


def _reads(rule: Rule) -> dict[str, set[str]]:
    reads = fields_used(rule.when)
    for name, fields in fields_used(rule.resolve).items():
        reads.setdefault(name, set()).update(fields)
    return reads
