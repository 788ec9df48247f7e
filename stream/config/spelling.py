"""What to say of a name that is not known: the one that was meant, or all there are. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(name: str, known: Iterable[str], *, otherwise: str = "") -> str:
    """Otherwise is said instead of all names where none is like it."""
    names = list(known)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"did you mean {close[0]!r}?"
    return otherwise or f"known are {', '.join(names)}"
