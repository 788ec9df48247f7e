"""Refuses conditions that are valid but could take too long on some event. Pure.

CEL has no loops of its own and its regular expressions take linear time, so what is left to bound
is the size of what is written and how often it is gone through.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod

import cel

from stream.rules.operands import closing

MAX_DEPTH = 24
MAX_LIST_ITEMS = 200
MAX_REGEX_CHARS = 200
MAX_REGEX_REPEATS = 200
MAX_WORD_CLASSES = 50
"""In all regular expressions of a condition. CEL makes them anew for every event, which takes up to
a millisecond for each class of letters: \\w knows those of all languages."""

_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(")
_MATCHES = re.compile(r"\bmatches\s*\(")
_COUNTED = re.compile(r"\{\s*(\d+)\s*(?:,\s*(\d*)\s*)?\}")
_REGEX_PART = re.compile(
    rf"\\[wW]|\\[pP](?:\{{[^}}]*\}}|.)?|{_COUNTED.pattern}|\[\^?\]?|\\.|[^*+?]", re.DOTALL
)
_SPACED_OUT = re.compile(r"\(\?[a-zA-Z]*x")
_SIGNS = re.compile(rf"[!-]{{{MAX_DEPTH},}}")
_LITERAL = "''"


def find_danger(bare: str, literals: Sequence[str]) -> str | None:
    """What is wrong with a condition and what to do, None if nothing is.

    bare has '' for every one of its literals, strings and bytes, and no comments.
    """
    return (
        _too_deep(bare) or _long_list(bare) or _costly_walk(bare) or _costly_regex(bare, literals)
    )


def _too_deep(bare: str) -> str | None:
    depth = deepest = 0
    for char in bare:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        return f"nests brackets {deepest} deep; {MAX_DEPTH} at most"
    # The parser goes as deep for each of these as for a bracket.
    if _SIGNS.search(re.sub(r"\s", "", bare)):
        return f"has more than {MAX_DEPTH} signs in a row"
    if bare.count("?") > MAX_DEPTH:
        return f"has more than {MAX_DEPTH} conditions with '?'; make several rules of it"
    return None


def _long_list(bare: str) -> str | None:
    items = bare.count(",")
    if items > MAX_LIST_ITEMS:
        return f"lists more than {MAX_LIST_ITEMS} items; make several rules of it"
    return None


def _costly_walk(bare: str) -> str | None:
    for found in _MACRO.finditer(bare):
        inside = bare[found.end() : closing(bare, found.end())]
        if _MACRO.search(inside):
            return "goes through a list inside another such walk, which can take for ever"
        if _MATCHES.search(inside):
            # Whoever writes the event decides how many there are.
            return (
                "has a regular expression in a walk through a list, made anew for each item, which "
                "can take for ever; ask with ==, in, contains, startsWith or endsWith there"
            )
    return None


def _costly_regex(bare: str, literals: Sequence[str]) -> str | None:
    classes = 0
    for found in _MATCHES.finditer(bare):
        if bare[found.end() : closing(bare, found.end())].strip() != _LITERAL:
            return "has a regular expression that is not written out as one string"
        regex = _said(literals[bare.count(_LITERAL, 0, found.end())])
        if len(regex) > MAX_REGEX_CHARS:
            return f"has a regular expression longer than {MAX_REGEX_CHARS} characters"
        if _SPACED_OUT.search(regex):
            return "has a regular expression with (?x), which hides its counts; write it without"
        repeats = prod(int(most or least) or 1 for least, most in _COUNTED.findall(regex))
        if repeats > MAX_REGEX_REPEATS:
            return (
                f"has a regular expression that counts to {repeats:,}; its {{…}} multiply to "
                f"{MAX_REGEX_REPEATS} at most"
            )
        classes += _word_classes(regex)
    if classes > MAX_WORD_CLASSES:
        return (
            f"has regular expressions that come to {classes:,} of \\w, \\W and \\p, counted as "
            f"often as their {{…}} say; {MAX_WORD_CLASSES} at most, or write [a-z]"
        )
    return None


def _said(literal: str) -> str:
    """The text that a literal stands for; its escapes may write a brace or a backslash."""
    try:
        return str(cel.compile(literal).execute({}))
    except Exception:  # noqa: BLE001 - cel has no error class of its own; the whole is no CEL then
        return literal


def _word_classes(regex: str) -> int:
    """How many classes of letters it has when what is counted is written out."""
    groups: list[int] = []
    whole = last = sets = 0
    for found in _REGEX_PART.finditer(regex):
        part = found[0]
        if part[:2] in {r"\w", r"\W", r"\p", r"\P"}:
            last = last + 1 if sets else 1
            whole += 1
        elif part[0] == "[":
            last = last if sets else 0
            sets += 1
        elif sets:
            sets -= part == "]"
        elif found[1]:
            # It stands there once already.
            more = last * ((int(found[2] or found[1]) or 1) - 1)
            whole, last = whole + more, last + more
        elif part == "(":
            groups.append(whole)
        elif part == ")" and groups:
            last = whole - groups.pop()
        else:
            last = 0
    return whole
