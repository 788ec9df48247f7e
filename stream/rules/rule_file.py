"""A rule file as it is written: TOML tables become rules and examples, each fault with its line."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from stream.config import durations
from stream.config.spelling import meant
from stream.config.toml_text import TomlError, parse_toml
from stream.names import EVENT_KINDS, OWN_LABELS, SUBJECT_KINDS, SourceKind
from stream.records import Severity
from stream.rules.rule_error import RuleError

MAX_FILE_BYTES = 1_000_000
MAX_RULES = 500
MAX_LABELS = 20
MAX_LABEL_CHARS = 200

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,62}")
_TABLE_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*(rule|test)[ \t]*\]\]", re.MULTILINE)
_DURATION = 'a span such as "90s", "15m", "2h" or "1d"'
_WANTED = {
    "subject": "a kind in quotes, such as ticker",
    "severity": "info, warning or critical",
    "sources": 'a list of news, social and ticket, such as ["news"]',
    "enabled": "true or false",
    "labels": 'a table of strings, such as { team = "desk" }',
    **dict.fromkeys(("for", "cooldown", "quiet"), _DURATION),
}


class Rule(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"for_": "for"},
    dict=True,  # for what is cached
):
    """One rule as written in the file. version is a hash of everything it says."""

    name: str
    when: str
    subject: str
    severity: Severity
    title: str
    summary: str = "{text}"
    description: str = ""
    sources: tuple[SourceKind, ...] = ()
    enabled: bool = True
    for_: str = ""
    resolve: str = ""
    cooldown: str = ""
    quiet: str = ""
    labels: dict[str, str] = {}

    @cached_property
    def version(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]

    @cached_property
    def for_s(self) -> int:
        """Event time over which the condition must hold before an alert fires; 0 at once."""
        return durations.seconds(self.for_) if self.for_ else 0

    @cached_property
    def cooldown_s(self) -> int:
        return durations.seconds(self.cooldown) if self.cooldown else 0

    @cached_property
    def quiet_s(self) -> int:
        """What replaces alerting.quiet_s; 0 for nothing."""
        return durations.seconds(self.quiet) if self.quiet else 0


class Placed(msgspec.Struct, frozen=True):
    """A table of the file and where it stands, in words that begin every message about it."""

    where: str
    entry: dict[str, Any]


class RuleFile(msgspec.Struct, frozen=True):
    """rules by where they stand, the examples beside them as they were written, and the text."""

    where: str
    rules: dict[str, Rule]
    tests: tuple[Placed, ...]
    text: str

    @property
    def version(self) -> str:
        """A hash of all that the file says, comments included."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def forgotten_cooldowns(file: RuleFile, keep_s: int) -> list[str]:
    """What to say of cooldowns that Redis, which keeps an alert for keep_s, forgets before."""
    return [
        f"{where}: cooldown {rule.cooldown} is longer than alerting.keep_s ({keep_s} s), after "
        "which Redis forgets the alert and its cooldown is over; raise alerting.keep_s"
        for where, rule in file.rules.items()
        if rule.cooldown_s > keep_s
    ]


def read_rule_file(path: Path | None, kinds: Collection[str] = ()) -> RuleFile:
    """The rule file at path, the shipped one if None. Raises RuleError with every fault in it.

    kinds are those of subjects that the settings add.
    """
    file, faults = read_sound_rules(path, kinds)
    if faults:
        raise RuleError(*faults)
    return file


def read_sound_rules(path: Path | None, kinds: Collection[str] = ()) -> tuple[RuleFile, list[str]]:
    """The same without faulty rules, and the faults. Raises RuleError where there are no rules."""
    where = "the shipped rules" if path is None else f"rule file {path}"
    try:
        table, text = parse_toml(_read(path, where))
    except TomlError as error:
        raise RuleError(f"{where}: {error}") from None
    if unknown := set(table) - {"rule", "test"}:
        raise RuleError(
            f"{where}: unknown table {min(unknown)!r}; rules are [[rule]], examples [[test]]"
        )
    entries, tests = (_tables(table, text, where, name) for name in ("rule", "test"))
    if "rule" not in table:
        # Such as an editor or a full disk leaves behind; it must not end all alerting.
        raise RuleError(f"{where}: has no rules; add one, or write rule = [] if that is meant")
    if len(entries) > MAX_RULES:
        raise RuleError(f"{where}: has {len(entries)} rules; {MAX_RULES} at most are allowed")
    rules: dict[str, Rule] = {}
    faults: list[str] = []
    for placed in entries:
        try:
            rules[placed.where] = _convert(placed, kinds)
        except RuleError as error:
            faults += error.faults
    for placed_ones in (entries, tests):
        faults += _repeated_names(placed_ones)
    return RuleFile(where, rules, tuple(tests), text), faults


def _repeated_names(tables: Sequence[Placed]) -> Iterator[str]:
    above: set[str] = set()
    for placed in tables:
        name = placed.entry.get("name")
        if isinstance(name, str):
            if name in above:
                yield f"{placed.where}: another above has this name; names must differ"
            above.add(name)


def _read(path: Path | None, where: str) -> bytes:
    try:
        source = files("stream.rules") / "default_rules.toml" if path is None else path
        content = source.read_bytes()
    except OSError as error:
        raise RuleError(
            f"{where}: can't be read ({error.strerror}); correct the path, or the setting "
            "alerting.rules if it came from there"
        ) from None
    if len(content) > MAX_FILE_BYTES:
        raise RuleError(f"{where}: larger than {MAX_FILE_BYTES:,} bytes; split it")
    return content


def _tables(table: dict[str, Any], text: str, where: str, name: str) -> list[Placed]:
    """The tables of one name; with their lines unless the file writes them inline."""
    entries = table.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RuleError(f"{where}: {name} must be a table; begin each {name} with [[{name}]]")
    lines: list[str] = []
    line, counted = 1, 0
    for found in _TABLE_HEADER.finditer(text):
        line += text.count("\n", counted, found.start())
        counted = found.start()
        if found[1] == name:
            lines.append(f", line {line}")
    if len(lines) != len(entries):
        lines = [""] * len(entries)
    return [
        Placed(f"{where}{line}, {name} {entry.get('name', f'number {number}')!r}", entry)
        for number, (line, entry) in enumerate(zip(lines, entries, strict=True), 1)
    ]


def _convert(placed: Placed, kinds: Collection[str]) -> Rule:
    entry, where = placed.entry, placed.where
    fields = {field.encode_name: field for field in msgspec.structs.fields(Rule)}
    faults = [
        f"{where}: unknown field {name!r}; {meant(name, fields)}"
        for name in entry.keys() - fields.keys()
    ]
    for name, field in fields.items():
        if name not in entry:
            if field.required:
                remedy = _WANTED.get(name, "a string")
                faults.append(f"{where}: {name} is missing; add it as {remedy}")
            continue
        try:
            msgspec.convert(entry[name], field.type)
        except msgspec.ValidationError:
            remedy = _WANTED.get(name, "a string in quotes")
            faults.append(f"{where}: {name} is {entry[name]!r}; write {remedy}")
    if entry.get("sources") == []:
        faults.append(f"{where}: sources is empty; name a kind of source, or leave it out for all")
    if faults:
        raise RuleError(*faults)
    rule = msgspec.convert(entry, Rule)
    if found := [f"{where}: {fault}" for fault in _wrong_values(rule, kinds)]:
        raise RuleError(*found)
    return rule


def _wrong_values(rule: Rule, kinds: Collection[str]) -> Iterator[str]:
    if not _NAME.fullmatch(rule.name):
        yield "name must be lower-case letters, digits and '-', 80 at most"
    known = (*SUBJECT_KINDS, *kinds, *EVENT_KINDS)
    if rule.subject not in known:
        yield (
            f"subject is {rule.subject!r}; write one of {', '.join(known)}, "
            "or add the kind under subjects.fields"
        )
    for field, text in (("for", rule.for_), ("cooldown", rule.cooldown), ("quiet", rule.quiet)):
        try:
            durations.seconds(text or "1s")
        except ValueError as error:
            yield f"{field} is {text!r}; {error}"
    if len(rule.labels) > MAX_LABELS:
        yield f"has {len(rule.labels)} labels; {MAX_LABELS} at most"
    for name, value in rule.labels.items():
        if name in OWN_LABELS:
            yield f"label {name!r} is set by the alert itself; rename it"
        elif not _LABEL_NAME.fullmatch(name):
            yield f"label {name!r} must be letters, digits and '_', 63 at most"
        if len(value) > MAX_LABEL_CHARS:
            yield f"label {name!r} is longer than {MAX_LABEL_CHARS} characters"
