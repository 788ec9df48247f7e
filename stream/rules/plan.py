"""Compiled rules as they are asked: what once an event, what once a subject of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from models.spec import Head
from stream.records import Scored
from stream.rules.conditions import RuleError, compile_condition, fields_used
from stream.rules.necessary import Necessary, SignalTest, find_necessary
from stream.rules.rule_file import Rule
from stream.rules.templates import check_placeholders
from stream.rules.variables import PER_SUBJECT


class Condition(msgspec.Struct, frozen=True):
    program: Any
    necessary: Necessary


class Compiled(msgspec.Struct, frozen=True):
    rule: Rule
    when: Condition
    resolve: Condition | None
    reads_attributes: bool
    reads_signal: bool
    takes_copies: bool
    # Whether it matters that the condition does not hold.
    lasts: bool


class Plan(msgspec.Struct):
    """The rules for one kind of source: what is asked once an event and what once a subject."""

    once: list[Compiled] = []
    per_subject: dict[str, list[Compiled]] = {}
    used: dict[str, set[str]] = {}
    lasting: list[tuple[str, str]] = []


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
        reads_attributes=not of_event.isdisjoint({"attributes", "*"}),
        reads_signal="signal" in reads,
        takes_copies=not of_event.isdisjoint({"novelty", "copy_of"}),
        lasts=resolve is not None or bool(rule.for_),
    )


def _reads(rule: Rule) -> dict[str, set[str]]:
    reads = fields_used(rule.when)
    for name, fields in fields_used(rule.resolve).items():
        reads.setdefault(name, set()).update(fields)
    return reads


def add(plan: Plan, compiled: Compiled) -> None:
    reads = _reads(compiled.rule)
    if compiled.lasts:
        plan.lasting.append((compiled.rule.name, compiled.rule.subject))
    if PER_SUBJECT.isdisjoint(reads):
        plan.once.append(compiled)
    else:
        plan.per_subject.setdefault(compiled.rule.subject, []).append(compiled)
    for name, fields in reads.items():
        plan.used.setdefault(name, set()).update(fields)


def asked_of(
    group: Iterable[Compiled], scored: Scored
) -> list[tuple[Compiled, tuple[SignalTest, ...] | None]]:
    """The rules that may say something of this event, each with what its subject's figures must be.

    None stands for a rule whose condition does not hold whatever they are.
    """
    copy, heads = bool(scored.copy_of), scored.heads
    found: list[tuple[Compiled, tuple[SignalTest, ...] | None]] = []
    for compiled in group:
        if copy and not compiled.takes_copies:
            continue
        necessary = compiled.when.necessary
        if necessary.may_hold(heads):
            found.append((compiled, necessary.signals))
        elif compiled.lasts:
            found.append((compiled, None))
    return found
