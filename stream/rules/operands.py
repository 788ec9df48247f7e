"""Splits a condition at && and || into parts, each of which is checked by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterator


def operands(expression: str, bare: str) -> list[str]:
    """Each once, as it is written, however deep in brackets; the whole where nothing is joined.

    bare is the expression with strings and comments blank, which may hold signs and brackets of
    their own. A condition with '?' is not taken apart.
    """
    spans = _spans(bare, 0, len(bare))
    return list(dict.fromkeys(expression[start:end].strip() for start, end in spans))


def _spans(bare: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    ends = joints(bare, start, end)
    if len(ends) > 1:
        for place in ends:
            yield from _spans(bare, start, place)
            start = place + 2
        return
    inner = bare[start:end].strip()
    if ends and inner.startswith("(") and closing(inner, 1) == len(inner) - 1:
        begin = bare.index("(", start) + 1
        yield from _spans(bare, begin, bare.rindex(")", start, end))
    else:
        yield start, end


def joints(bare: str, start: int, end: int) -> list[int]:
    """Where && and || stand outside of brackets, and the end; nothing where there is a '?'."""
    places: list[int] = []
    depth = 0
    for place in range(start, end):
        char = bare[place]
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 and char == "?":
            return []
        if depth == 0 and bare[place : place + 2] in {"&&", "||"}:
            places.append(place)
    return [*places, end]


def closing(bare: str, start: int) -> int:
    """Where the bracket opened just before start is closed; the end if it is not."""
    depth = 1
    for place in range(start, len(bare)):
        depth += (bare[place] in "([{") - (bare[place] in ")]}")
        if depth == 0:
            return place
    return len(bare)
