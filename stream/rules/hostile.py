"""Refuses conditions that are sound but could take long on some event. Pure.

CEL has no loops of its own and its regular expressions take linear time, so what is left to bound
is the size of what is written and how often it is gone through.
"""

from __future__ import annotations

import re
from math import prod

MAX_DEPTH = 24
MAX_LIST_ITEMS = 200
MAX_REGEX_CHARS = 200
MAX_REGEX_REPEATS = 200

_MACRO = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|map|filter)\s*\(")
_MATCHES = re.compile(r"\bmatches\s*\(")
_COUNTED = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_SIGNS = re.compile(rf"[!-]{{{MAX_DEPTH},}}")
_LITERAL = "''"


def find_danger(expression: str, literal_or_comment: re.Pattern[str]) -> str | None:
    """What is wrong and what to do, None if nothing is. The pattern finds strings and comments."""
    literals = [text for text in literal_or_comment.findall(expression) if text[:2] != "//"]
    bare = literal_or_comment.sub(_blank, expression)
    return (
        _too_deep(bare) or _long_list(bare) or _nested_macro(bare) or _costly_regex(bare, literals)
    )


def _blank(found: re.Match[str]) -> str:
    return "" if found[0].startswith("//") else _LITERAL


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


def _nested_macro(bare: str) -> str | None:
    for found in _MACRO.finditer(bare):
        inside = bare[found.end() : _closing(bare, found.end())]
        if _MACRO.search(inside):
            return "goes through a list inside another such walk, which can take for ever"
    return None


def _costly_regex(bare: str, literals: list[str]) -> str | None:
    for found in _MATCHES.finditer(bare):
        inside = bare[found.end() : _closing(bare, found.end())].rstrip()
        if not inside.endswith(_LITERAL) or (
            inside != _LITERAL and inside[-3:-2] not in {",", " "}
        ):
            return "has a regular expression that is not written out as one string"
        end = found.end() + len(inside)
        regex = literals[bare.count(_LITERAL, 0, end) - 1]
        if len(regex) > MAX_REGEX_CHARS:
            return f"has a regular expression longer than {MAX_REGEX_CHARS} characters"
        repeats = prod(int(most or least) or 1 for least, most in _COUNTED.findall(regex))
        if repeats > MAX_REGEX_REPEATS:
            return (
                f"has a regular expression that counts to {repeats:,}; its {{…}} multiply to "
                f"{MAX_REGEX_REPEATS} at most"
            )
    return None


def _closing(bare: str, start: int) -> int:
    """Where the bracket opened just before start is closed; the end if it is not."""
    depth = 1
    for place in range(start, len(bare)):
        depth += (bare[place] in "([{") - (bare[place] in ")]}")
        if depth == 0:
            return place
    return len(bare)
