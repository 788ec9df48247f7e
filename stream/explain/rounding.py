"""What a condition may have said of figures that an alert keeps with fewer digits. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import product

from stream.rules.question import SIGNAL_DIGITS
from stream.signals.figures import WHOLE_FIGURES

HALF_A_DIGIT = 0.5 * 10**-SIGNAL_DIGITS
MOST_TOGETHER = 5
"""Of figures moved in every combination, which is 243 questions; of more, each is moved alone."""


def possible_answers(
    ask: Callable[[Mapping[str, float]], bool], kept: Mapping[str, float], read: Collection[str]
) -> set[bool]:
    """The answers of ask to the figures kept, and to any that rounding makes the same.

    read names those that ask reads, "*" all of them.
    """
    names = sorted(kept) if "*" in read else sorted(kept.keys() & read)
    rounded = [name for name in names if name not in WHOLE_FIGURES]
    found: set[bool] = set()
    for moves in _moves(len(rounded)):
        found.add(ask({**kept, **{n: kept[n] + by for n, by in zip(rounded, moves, strict=True)}}))
        if len(found) > 1:
            break
    return found


def _moves(figures: int) -> Iterator[tuple[float, ...]]:
    steps = (0.0, -HALF_A_DIGIT, HALF_A_DIGIT)
    if figures <= MOST_TOGETHER:
        yield from product(steps, repeat=figures)
        return
    yield (0.0,) * figures
    for place in range(figures):
        for step in steps[1:]:
            yield tuple(step if one == place else 0.0 for one in range(figures))
