"""A rule file becomes compiled CEL; a scored event goes in, matches come out. Pure."""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import cel
import msgspec

from models.spec import DEFAULT_HEADS, Head
from stream.conditions import EVENT_FIELDS, HEAD_FIELDS, RuleError, compile_condition, fields_used
from stream.names import EVENT_KINDS, SUBJECT_KINDS, SourceKind
from stream.records import Scored, Severity

MAX_FILE_BYTES = 1_000_000
MAX_RULES = 500

PLACEHOLDERS = ("subject", "text", "title", "source", "author", "customer")
"""What titles and summaries may quote, beside {<head>}, its label, and {<head>.confidence}."""
MAX_QUOTED_CHARS = 280

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_TABLE_HEADER = re.compile(r"^[ \t]*\[\[[ \t]*rule[ \t]*\]\]", re.MULTILINE)
_FAULTY_FIELD = re.compile(r"\$\.(\w+)")
_WANTED = {
    "subject": "a kind in quotes, such as ticker",
    "severity": "info, warning or critical",
    "sources": 'a list of news, social and ticket, such as ["news"]',
    "enabled": "true or false",
}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
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

    @property
    def version(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:12]


class Match(msgspec.Struct, frozen=True):
    """A rule that holds for an event, about one subject ("<kind>:<id>")."""

    rule: Rule
    subject: str
    title: str
    summary: str


class _Program(NamedTuple):
    rule: Rule
    compiled: Any
    reads_attributes: bool
    takes_copies: bool


class RuleSet:
    """Compiled rules. A rule that errs on an event is counted in errors and does not match."""

    def __init__(
        self, rules: Mapping[str, Rule], heads: Sequence[Head], kinds: Sequence[str] = ()
    ) -> None:
        """Takes rules by where they stand, which begins every message. Raises RuleError.

        kinds are those of subjects that the settings add.
        """
        self._programs: dict[SourceKind, list[_Program]] = {}
        self._used: dict[SourceKind, dict[str, set[str]]] = {}
        self.errors: Counter[str] = Counter()
        self.last_error: dict[str, str] = {}
        self._count = 0
        for where, rule in rules.items():
            _check_subject(rule, kinds, where)
            compiled = compile_condition(rule.when, heads, where)
            _check_placeholders(rule, heads, where)
            if not rule.enabled:
                continue
            self._count += 1
            reads = fields_used(rule.when)
            of_event = reads.get("event", set())
            program = _Program(
                rule,
                compiled,
                reads_attributes=not of_event.isdisjoint({"attributes", "*"}),
                takes_copies=not of_event.isdisjoint({"novelty", "copy_of"}),
            )
            for kind in rule.sources or ("news", "social", "ticket"):
                self._programs.setdefault(kind, []).append(program)
                used = self._used.setdefault(kind, {})
                for name, fields in reads.items():
                    used.setdefault(name, set()).update(fields)

    def __len__(self) -> int:
        return self._count

    @classmethod
    def load(
        cls,
        path: Path | None,
        heads: Sequence[Head] = DEFAULT_HEADS,
        kinds: Sequence[str] = (),
    ) -> RuleSet:
        """Read and check a rule file, the shipped one if None. Raises RuleError."""
        shipped = path is None
        where = "the shipped rules" if shipped else f"rule file {path}"
        try:
            source = files("stream") / "default_rules.toml" if path is None else path
            content = source.read_bytes()
            if len(content) > MAX_FILE_BYTES:
                raise RuleError(f"{where}: larger than {MAX_FILE_BYTES:,} bytes; split it")
            text = content.decode()
            table = tomllib.loads(text)
        except OSError as error:
            raise RuleError(
                f"{where}: can't be read ({error.strerror}); correct alerting.rules"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RuleError(f"{where}: is not valid TOML ({error})") from None
        if unknown := set(table) - {"rule"}:
            raise RuleError(f"{where}: unknown table {min(unknown)!r}; rules are [[rule]]")
        entries = table.get("rule", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise RuleError(f"{where}: rule must be a table; begin each rule with [[rule]]")
        if len(entries) > MAX_RULES:
            raise RuleError(f"{where}: has {len(entries)} rules; {MAX_RULES} at most are allowed")
        places = _places(entries, text, where)
        rules = [_convert(entry, place) for place, entry in zip(places, entries, strict=True)]
        names = Counter(rule.name for rule in rules)
        if twice := [name for name, count in names.items() if count > 1]:
            raise RuleError(f"{where}: two rules are named {twice[0]!r}; names must differ")
        return cls(dict(zip(places, rules, strict=True)), heads, kinds)

    def match(self, scored: Scored) -> list[Match]:
        """A match for each rule that holds and each subject of its kind. Never raises.

        A copy is no news: only rules that read event.novelty or event.copy_of are asked about it.
        """
        programs = self._programs.get(scored.source)
        if programs and scored.copy_of:
            programs = [program for program in programs if program.takes_copies]
        if not programs:
            return []
        context = cel.Context(variables=_variables(scored, self._used[scored.source]))
        matches: list[Match] = []
        for rule, compiled, reads_attributes, _ in programs:
            try:
                holds = compiled.execute(context)
            except Exception as error:  # noqa: BLE001 - cel raises many kinds; none may stop the stream
                # An attribute that this event does not carry is no fault of the rule.
                if not (isinstance(error, KeyError) and reads_attributes):
                    self._count_error(rule, f"{type(error).__name__}: {error}")
                continue
            if holds is True:
                matches.extend(_matches(rule, scored))
            elif holds is not False:
                self._count_error(rule, f"gave {type(holds).__name__}, not a bool")
        return matches

    def _count_error(self, rule: Rule, message: str) -> None:
        self.errors[rule.name] += 1
        self.last_error[rule.name] = message


def _places(entries: Sequence[dict[str, Any]], text: str, where: str) -> list[str]:
    """Where each rule stands, for messages; with its line unless the file writes rules inline."""
    starts = [found.start() for found in _TABLE_HEADER.finditer(text)]
    lines = [f", line {text.count(chr(10), 0, start) + 1}" for start in starts]
    if len(lines) != len(entries):
        lines = [""] * len(entries)
    return [
        f"{where}{line}, rule {entry.get('name', f'number {number}')!r}"
        for number, (line, entry) in enumerate(zip(lines, entries, strict=True), 1)
    ]


def _convert(entry: dict[str, Any], where: str) -> Rule:
    fields = {field.name: field for field in msgspec.structs.fields(Rule)}
    if unknown := [name for name in entry if name not in fields]:
        close = difflib.get_close_matches(unknown[0], fields, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(fields)}"
        raise RuleError(f"{where}: unknown field {unknown[0]!r}; {remedy}")
    if missing := [name for name, field in fields.items() if field.required and name not in entry]:
        wanted = _WANTED.get(missing[0], "a string")
        raise RuleError(f"{where}: {missing[0]} is missing; add it as {wanted}")
    try:
        rule = msgspec.convert(entry, Rule)
    except msgspec.ValidationError as error:
        found = _FAULTY_FIELD.search(str(error))
        if found is None:
            raise RuleError(f"{where}: {error}") from None
        wanted = _WANTED.get(found[1], "a string in quotes")
        raise RuleError(f"{where}: {found[1]} is {entry[found[1]]!r}; write {wanted}") from None
    if not _NAME.fullmatch(rule.name):
        raise RuleError(f"{where}: name must be lower-case letters, digits and '-', 80 at most")
    return rule


def _check_subject(rule: Rule, kinds: Sequence[str], where: str) -> None:
    known = (*SUBJECT_KINDS, *kinds, *EVENT_KINDS)
    if rule.subject not in known:
        raise RuleError(
            f"{where}: subject is {rule.subject!r}; write one of {', '.join(known)}, "
            "or add the kind under subjects.fields"
        )


def _check_placeholders(rule: Rule, heads: Sequence[Head], where: str) -> None:
    known = [*PLACEHOLDERS, *(name for head in heads for name in _head_placeholders(head.name))]
    for field, template in (("title", rule.title), ("summary", rule.summary)):
        for placeholder in _PLACEHOLDER.findall(template):
            if placeholder not in known:
                raise RuleError(
                    f"{where}: {field} has the unknown placeholder {{{placeholder}}}; "
                    f"known are {', '.join(known)}"
                )


def _head_placeholders(head: str) -> tuple[str, str]:
    return head, f"{head}.confidence"


def _variables(scored: Scored, used: Mapping[str, set[str]]) -> dict[str, Any]:
    """What the conditions read and no more: cel copies all it is given, 100 us for everything."""
    variables: dict[str, Any] = {}
    for name, fields in used.items():
        if name == "event":
            wanted: Iterable[str] = EVENT_FIELDS if "*" in fields else fields
            variables[name] = {field: _event_field(scored, field) for field in wanted}
        elif name in scored.heads:
            wanted = HEAD_FIELDS if "*" in fields else fields
            head = scored.heads[name]
            variables[name] = {field: getattr(head, field) for field in wanted}
    return variables


def _event_field(scored: Scored, field: str) -> Any:
    if field == "tickers":
        return [subject.id for subject in scored.subjects if subject.kind == "ticker"]
    return getattr(scored, field)


def _matches(rule: Rule, scored: Scored) -> list[Match]:
    if rule.subject == "event":
        ids = [scored.id]
    elif rule.subject == "source":
        ids = [scored.source]
    else:
        ids = [subject.id for subject in scored.subjects if subject.kind == rule.subject]
    values = _quotable(scored)
    return [
        Match(
            rule=rule,
            subject=f"{rule.subject}:{identity}",
            title=_fill(rule.title, values, identity),
            summary=_fill(rule.summary, values, identity),
        )
        for identity in ids
    ]


def _quotable(scored: Scored) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, head in scored.heads.items():
        label, confidence = _head_placeholders(name)
        values[label] = head.label
        values[confidence] = f"{head.confidence:.2f}"
    # A user's head may be called "text"; the event's own fields keep their names.
    return values | {
        "text": scored.text[:MAX_QUOTED_CHARS],
        "title": scored.title[:MAX_QUOTED_CHARS],
        "source": scored.source,
        "author": scored.author,
        "customer": scored.customer,
    }


def _fill(template: str, values: Mapping[str, str], subject: str) -> str:
    filled = {**values, "subject": subject}
    # A record scored by an older model may lack a head.
    return _PLACEHOLDER.sub(lambda found: filled.get(found[1], ""), template)
