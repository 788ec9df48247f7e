"""The condition of a rule: CEL, checked against what an event and its scores can hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import cel

from models.spec import Head
from stream.config.spelling import meant
from stream.names import SOURCE_KINDS
from stream.rules.constant_comparisons import find_constant_comparison
from stream.rules.costly_conditions import find_danger
from stream.rules.operands import operands
from stream.rules.rule_error import RuleError
from stream.rules.variables import EVENT_FIELDS, HEAD_FIELDS, SUBJECT_FIELDS, sample
from stream.signals.figures import FIGURES

MAX_EXPRESSION_CHARS = 4_000
MAX_SHOWN_CHARS = 100

_NO_FUNCTION = "Undefined variable or function"

# A raw string ends at the first quote; in any other a backslash protects what follows it.
_STRING_OR_COMMENT = re.compile(
    r"""
    //[^\n]*
    | (?<!\w)(?:[rR][bB]?|[bB][rR]) (?:'{3}.*?'{3} | "{3}.*?"{3} | '[^']*' | "[^"]*")
    | (?:(?<!\w)[bB])? (?:
        '{3}(?:\\.|[^\\])*?'{3} | "{3}(?:\\.|[^\\])*?"{3}
        | '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*"
    )
    """,
    re.VERBOSE | re.DOTALL,
)
# *+ gives nothing back, or the method in sentiment.scores.exists(...) would be a field "exist".
_PATH = re.compile(r"(?<![\w.\])])([A-Za-z_]\w*+)((?:\s*\.\s*[A-Za-z_]\w*+(?!\s*\())*)")
_TYPE_NAMES = {"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"}
_LABEL = re.compile(
    r"""(?<![\w.])([A-Za-z_]\w*+)\s*\.\s*(?:label|source)\s*(?:[=!]=\s*|in\s*\[)((?:\s*,?\s*(?:'[^']*'|"[^"]*"))+)"""
)
_LABEL_BEHIND = re.compile(
    r"""((?:'[^']*'|"[^"]*"))\s*[=!]=\s*([A-Za-z_]\w*)\s*\.\s*(?:label|source)\b"""
)
_SCORE_KEY = re.compile(
    r"""(?<![\w.])([A-Za-z_]\w*+)\s*\.\s*scores\s*\[\s*((?:'[^']*'|"[^"]*"))\s*\]"""
)
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*(\w+)\s*,")
_OTHER_LANGUAGES = {
    "== for =": "(?<![=!<>])=(?!=)",
    "&& for and": r"\band\b",
    "|| for or": r"\bor\b",
    "! for not": r"\bnot\b",
}
_LITERAL = re.compile(r"""'([^']*)'|"([^"]*)\"""")


def compile_condition(expression: str, heads: Sequence[Head], where: str, *, field: str) -> Any:
    """A cel.Program that gives a bool on any event of a model with these heads.

    Raises RuleError, beginning with where, on bad syntax, an unknown name, field or label, on a
    comparison that no event decides, on what could take long on some event, and on anything but a
    bool for a sample event.
    """
    if len(expression) > MAX_EXPRESSION_CHARS:
        raise RuleError(f"{where}: {field} is longer than {MAX_EXPRESSION_CHARS:,} characters")
    found = _STRING_OR_COMMENT.findall(expression)
    literals = [text for text in found if not text.startswith("//")]
    if danger := find_danger(strip(expression), literals):
        raise RuleError(f"{where}: {field} {danger}")
    try:
        program = cel.compile(expression)
    except Exception as error:  # noqa: BLE001 - cel has no error class of its own
        detail = " ".join(str(error).split())
        bare = strip(expression)
        foreign = [words for words, other in _OTHER_LANGUAGES.items() if re.search(other, bare)]
        hint = f"; CEL writes {', '.join(foreign)}" if foreign else ""
        raise RuleError(f"{where}: {field} is not valid CEL ({detail}){hint}") from None
    _check_names(expression, program.variables(), heads, where)
    _check_labels(expression, heads, where)
    bare = strip(expression, of_bytes="b''")
    if idle := find_constant_comparison(bare, heads, _BOUND.findall(bare)):
        raise RuleError(f"{where}: {field} {idle}")
    variables = sample(heads)
    _check_operands(expression, variables, where, field)
    try:
        outcome = program.execute(cel.Context(variables=variables))
    except KeyError:
        if not fields_used(expression).get("event", set()).isdisjoint({"attributes", "*"}):
            return program
        raise RuleError(f"{where}: {field} asks for a key that no event has") from None
    except Exception as error:  # noqa: BLE001 - cel raises many kinds
        detail = " ".join(str(error).split())
        raise RuleError(f"{where}: {field} fails on a sample event ({detail})") from None
    if not isinstance(outcome, bool):
        raise RuleError(
            f"{where}: {field} must be true or false, it gives a {type(outcome).__name__}"
        )
    return program


def _check_operands(expression: str, variables: Mapping[str, Any], where: str, field: str) -> None:
    """What the sample leaves out: behind a part that settles all, CEL passes over any fault.

    Other errors than of kinds may be what a part before it guards against.
    """
    parts = operands(expression, blank(expression))
    if len(parts) == 1:
        return
    context = cel.Context(variables=dict(variables))
    for part in parts:
        shown = " ".join(part.split())[:MAX_SHOWN_CHARS]
        try:
            outcome = cel.compile(part).execute(context)
        except Exception as error:  # noqa: BLE001 - cel raises many kinds
            detail = " ".join(str(error).split())
            if isinstance(error, TypeError) or detail.startswith(_NO_FUNCTION):
                raise RuleError(
                    f"{where}: {field} fails on a sample event in `{shown}` ({detail})"
                ) from None
            continue
        if not isinstance(outcome, bool):
            raise RuleError(
                f"{where}: {field} must join what is true or false, `{shown}` gives a "
                f"{type(outcome).__name__}"
            )


def strip(expression: str, of_bytes: str = "''") -> str:
    """The expression with every string empty and without comments, which may hold anything.

    of_bytes is what is left of bytes (b"…").
    """

    def emptied(found: re.Match[str]) -> str:
        if found[0].startswith("//"):
            return ""
        prefix = re.split("['\"]", found[0], maxsplit=1)[0]
        return of_bytes if "b" in prefix.lower() else "''"

    return _STRING_OR_COMMENT.sub(emptied, expression)


def blank(expression: str) -> str:
    """The expression with spaces for every string and comment, each place as it was."""
    return _STRING_OR_COMMENT.sub(lambda found: " " * len(found[0]), expression)


def fields_used(expression: str) -> dict[str, set[str]]:
    """Variable to the fields of it that an expression reads; a "*" among them stands for all."""
    used: dict[str, set[str]] = {}
    for name, rest in _PATH.findall(strip(expression)):
        steps = [step.strip() for step in rest.split(".")[1:]]
        used.setdefault(name, set()).add(steps[0] if steps else "*")
    return used


def _check_names(
    expression: str, variables: Sequence[str], heads: Sequence[Head], where: str
) -> None:
    known: dict[str, Sequence[str]] = {
        **{head.name: HEAD_FIELDS for head in heads},
        "event": EVENT_FIELDS,
        "subject": SUBJECT_FIELDS,
        "signal": FIGURES,
    }
    labels = {head.name: head.labels for head in heads}
    for path, rest in _PATH.findall(strip(expression)):
        steps = [step.strip() for step in rest.split(".")[1:]]
        if path not in known:
            # Names bound by macros (x in list.exists(x, ...)) are variables without a field check.
            known_otherwise = path in _TYPE_NAMES or path in _BOUND.findall(expression)
            if path in variables and not known_otherwise:
                raise RuleError(f"{where}: unknown name {path!r}; {meant(path, known)}")
            continue
        if steps and steps[0] not in known[path]:
            raise RuleError(
                f"{where}: {path} has no field {steps[0]!r}; {meant(steps[0], known[path])}"
            )
        if len(steps) > 1 and steps[0] == "scores" and steps[1] not in labels.get(path, ()):
            raise RuleError(
                f"{where}: {path}.scores has no label {steps[1]!r}; {meant(steps[1], labels[path])}"
            )


def _check_labels(expression: str, heads: Sequence[Head], where: str) -> None:
    labels: dict[str, Sequence[str]] = {head.name: head.labels for head in heads}
    labels["event"] = SOURCE_KINDS
    behind = [(name, literal) for literal, name in _LABEL_BEHIND.findall(expression)]
    keys = _SCORE_KEY.findall(expression)
    for name, literals in [*_LABEL.findall(expression), *behind, *keys]:
        for single, double in _LITERAL.findall(literals):
            label = single or double
            if name in labels and label not in labels[name]:
                what = "event has no source" if name == "event" else f"{name} has no label"
                raise RuleError(f"{where}: {what} {label!r}; {meant(label, labels[name])}")
