"""A rule file becomes compiled CEL; a scored event goes in, matches come out. Pure."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import cel
import msgspec

from models.spec import DEFAULT_HEADS, Head
from stream.conditions import EVENT_FIELDS, HEAD_FIELDS, RuleError, compile_condition, fields_used
from stream.names import SourceKind
from stream.records import Scored, Severity

MAX_FILE_BYTES = 1_000_000
MAX_RULES = 500

PLACEHOLDERS = ("subject", "text", "title", "source", "author", "customer")

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule as written in the file. version is a hash of everything it says."""

    name: str
    when: str
    subject: Literal["ticker", "customer", "topic", "source", "event"]
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


class RuleSet:
    """Compiled rules. A rule that errs on an event is counted in errors and does not match."""

    def __init__(self, rules: Sequence[Rule], *, heads: Sequence[Head], where: str) -> None:
        self._programs: dict[SourceKind, list[tuple[Rule, Any]]] = {}
        self._used: dict[SourceKind, dict[str, set[str]]] = {}
        self.errors: Counter[str] = Counter()
        self.last_error: dict[str, str] = {}
        self._count = 0
        for rule in rules:
            program = compile_condition(rule.when, heads, f"{where}, rule {rule.name!r}")
            if not rule.enabled:
                continue
            self._count += 1
            for kind in rule.sources or ("news", "social", "ticket"):
                self._programs.setdefault(kind, []).append((rule, program))
                used = self._used.setdefault(kind, {})
                for name, fields in fields_used(rule.when).items():
                    used.setdefault(name, set()).update(fields)

    def __len__(self) -> int:
        return self._count

    @classmethod
    def load(cls, path: Path | None, heads: Sequence[Head] = DEFAULT_HEADS) -> RuleSet:
        """Read and check a rule file, the shipped one if None. Raises RuleError."""
        shipped = path is None
        where = "the shipped rules" if shipped else f"rule file {path}"
        try:
            source = files("stream") / "default_rules.toml" if path is None else path
            content = source.read_bytes()
            if len(content) > MAX_FILE_BYTES:
                raise RuleError(f"{where}: larger than {MAX_FILE_BYTES:,} bytes; split it")
            table = tomllib.loads(content.decode())
        except OSError as error:
            raise RuleError(
                f"{where}: can't be read ({error.strerror}); correct alerting.rules"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise RuleError(f"{where}: is not valid TOML ({error})") from None
        if unknown := set(table) - {"rule"}:
            raise RuleError(f"{where}: unknown table {min(unknown)!r}; rules are [[rule]]")
        entries = table.get("rule", [])
        if not isinstance(entries, list) or len(entries) > MAX_RULES:
            raise RuleError(f"{where}: wants at most {MAX_RULES} tables named [[rule]]")
        rules = [_convert(entry, place, where) for place, entry in enumerate(entries, 1)]
        names = Counter(rule.name for rule in rules)
        if twice := [name for name, count in names.items() if count > 1]:
            raise RuleError(f"{where}: two rules are named {twice[0]!r}; names must differ")
        return cls(rules, heads=heads, where=where)

    def match(self, scored: Scored) -> list[Match]:
        programs = self._programs.get(scored.source)
        if not programs:
            return []
        context = cel.Context(variables=_variables(scored, self._used[scored.source]))
        matches: list[Match] = []
        for rule, program in programs:
            try:
                holds = program.execute(context)
            except Exception as error:  # noqa: BLE001 - cel raises many kinds; none may stop the stream
                # An attribute that this event does not carry is no fault of the rule.
                if not (isinstance(error, KeyError) and "event.attributes" in rule.when):
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


def _convert(entry: Any, place: int, where: str) -> Rule:
    name = entry.get("name", f"number {place}") if isinstance(entry, dict) else f"number {place}"
    try:
        rule = msgspec.convert(entry, Rule)
    except msgspec.ValidationError as error:
        raise RuleError(f"{where}, rule {name!r}: {error}") from None
    if not _NAME.fullmatch(rule.name):
        raise RuleError(
            f"{where}, rule {rule.name!r}: name must be lower-case letters, digits and '-'"
        )
    for field in ("title", "summary"):
        for placeholder in _PLACEHOLDER.findall(getattr(rule, field)):
            if placeholder not in PLACEHOLDERS:
                raise RuleError(
                    f"{where}, rule {rule.name!r}: {field} has the unknown placeholder "
                    f"{{{placeholder}}}; known are {', '.join(PLACEHOLDERS)}"
                )
    return rule


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
    return [
        Match(
            rule=rule,
            subject=f"{rule.subject}:{identity}",
            title=_fill(rule.title, scored, identity),
            summary=_fill(rule.summary, scored, identity),
        )
        for identity in ids
    ]


def _fill(template: str, scored: Scored, subject: str) -> str:
    values = {
        "subject": subject,
        "text": scored.text[:280],
        "title": scored.title,
        "source": scored.source,
        "author": scored.author,
        "customer": scored.customer,
    }
    return _PLACEHOLDER.sub(lambda found: values[found[1]], template)
