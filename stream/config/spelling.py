"""What to say of a name that is not known: the one that was meant, or all there are. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(name: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """Otherwise is said instead of all names where none is like it."""
    names = list(known)
    if close := closest(name, names):
        return f"did you mean {close!r}?"
    return otherwise or f"known are {', '.join(names)}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The name most like it, if one is like it at all."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)
