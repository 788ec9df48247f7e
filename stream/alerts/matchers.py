"""Matchers over an alert's labels, in Alertmanager's syntax: =, !=, =~ and !~, anchored. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, Literal, get_args

import msgspec

from stream.records import Alert, Severity

MAX_PATTERN_CHARS = 500
MAX_MATCHED_CHARS = 1_000
SEVERITIES: tuple[str, ...] = get_args(Severity)

Operator = Literal["=", "!=", "=~", "!~"]

_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
# Not in quotes, where a value may hold anything.
_SECOND = re.compile(r"^[^\"]*,\s*([A-Za-z_]\w*\s*(?:=~|!~|!=|=).*)$", re.DOTALL)
_WORDS = re.compile(r"\w+(?:\|\w+)+")
# Of an argument that is not UTF-8: no label has it, and nothing could be written down with it.
_LONE = re.compile("[\ud800-\udfff]")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"""\\(["\\])""")


class MatcherError(ValueError):
    """A matcher that can't be read; the message quotes it and says what to write."""


class Matcher(msgspec.Struct, frozen=True):
    """One condition on one label. A label that an alert lacks counts as empty."""

    name: str
    operator: Operator
    value: str

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.name}{self.operator}"{value}"'

    def holds(self, labels: Mapping[str, str]) -> bool:
        label = labels.get(self.name, "")
        if self.operator == "=":
            return label == self.value
        if self.operator == "!=":
            return label != self.value
        return _matches(label[:MAX_MATCHED_CHARS], self.value) is (self.operator == "=~")


def parse_matcher(text: str) -> Matcher:
    """What a person wrote: 'rule=x', 'subject=~"ticker:.*"'. Raises MatcherError."""
    matcher = read_matcher(text)
    if second := _SECOND.search(text):
        raise MatcherError(
            f"{text!r} looks like two matchers; give {second[1]!r} as one of its own, or the value "
            "in double quotes"
        )
    if matcher.name == "severity":
        _refuse_impossible(matcher, text)
    return matcher


def _refuse_impossible(matcher: Matcher, text: str) -> None:
    """A misspelt severity would match nothing, or everything, and nobody would notice."""
    is_pattern = matcher.operator in {"=~", "!~"}
    words = matcher.value.split("|") if is_pattern and _WORDS.fullmatch(matcher.value) else ()
    for value in words or (matcher.value,):
        if not (
            any(_matches(severity, value) for severity in SEVERITIES)
            if is_pattern
            else value in SEVERITIES
        ):
            raise MatcherError(f"{text!r}: {no_severity(value)}")


def no_severity(value: str) -> str:
    """What is wrong with a severity that no alert has."""
    return f"no alert has the severity {value!r}; severities are {', '.join(SEVERITIES)}"


def read_matcher(text: str) -> Matcher:
    """As parse_matcher, for one that was kept: also one that can match nothing."""
    found = _MATCHER.fullmatch(text)
    if found is None or _LONE.search(text):
        raise MatcherError(
            f"{text!r} is no matcher; write label=value, label!=value, label=~pattern or "
            "label!~pattern"
        )
    name, operator, value = found.groups()
    if value.startswith('"'):
        value = _unquoted(value, text)
    if len(value) > MAX_PATTERN_CHARS:
        raise MatcherError(f"{name}: the value is longer than {MAX_PATTERN_CHARS} characters")
    if operator in {"=~", "!~"}:
        try:
            # Bare, too: in the group that anchors it, "a)|(b" would pass.
            _search("", value)
            _matches("", value)
        except RuntimeError as error:
            raise MatcherError(f"{text!r}: {_reason(error)}") from None
    return Matcher(name, operator, value)  # type: ignore[arg-type]


def _unquoted(value: str, text: str) -> str:
    quoted = _QUOTED.match(value)
    if quoted is None:
        raise MatcherError(f"{text!r} has an opening quote and no closing one")
    if rest := value[quoted.end() :]:
        raise MatcherError(
            f"{text!r} goes on behind its closing quote with {rest!r}; give each matcher by "
            'itself, and write a quote within a value as \\"'
        )
    return _ESCAPED.sub(r"\1", quoted[1])


def all_hold(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    return all(matcher.holds(labels) for matcher in matchers)


def named_rules(matchers: Iterable[Matcher]) -> set[str]:
    """The rules that matchers name in full, patterns left out."""
    return {one.value for one in matchers if one.name == "rule" and one.operator in {"=", "!="}}


def labels_of(alert: Alert) -> dict[str, str]:
    """What matchers and group_by see of an alert: the rule's labels and OWN_LABELS."""
    return {
        **alert.labels,
        "rule": alert.rule,
        "severity": alert.severity,
        "subject": alert.subject,
        "subject_kind": alert.subject.partition(":")[0],
    }


@lru_cache(maxsize=10_000)
def _matches(text: str, pattern: str) -> bool:
    return _search(text, f"^(?s:{pattern})$")


def _search(text: str, pattern: str) -> bool:
    """Raises RuntimeError for what is no pattern."""
    return bool(_program().execute({"text": text, "pattern": pattern}))


@cache
def _program() -> Any:
    """CEL's matches() runs Rust's regular expressions: linear in the text, whatever the pattern."""
    import cel  # noqa: PLC0415 - takes a while to load, and few commands need a pattern

    return cel.compile("text.matches(pattern)")


def _reason(error: RuntimeError) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    for line in lines:
        if line.startswith("error: "):
            return f"not a regular expression ({line[7:].partition('. Check ')[0]})"
    return "a regular expression that needs too much memory"
