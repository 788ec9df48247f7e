"""Whether the stream still looks as it did when the champion began: shares of answers. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# Of a head on one kind of source. At this size chance alone gives the 13 topics an index of about
# (13 - 1) (1/1000 + 1/1000) = 0.024 (Yurdakul 2018, Statistical Properties of the PSI).
WINDOW = 1_000
CONFIDENCE_BINS = 10
# An answer that never occurs on one side would make the index infinite.
FLOOR = 1e-4


class Answers(NamedTuple):
    """What a model said of one event: by head the label and its confidence (0..1)."""

    source: str
    model: str
    heads: Mapping[str, tuple[str, float]]


class Shift(NamedTuple):
    """How far a head's answers on one kind of source have moved; distance is a stability index."""

    head: str
    source: str
    of: str
    distance: float

    def __str__(self) -> str:
        return f"{self.of} of {self.head} on {self.source} ({self.distance:.2f})"


class _Pair:
    """The reference of one head and source, and the window that fills."""

    def __init__(self) -> None:
        self.reference: list[tuple[str, float]] = []
        self.window: list[tuple[str, float]] = []


class Drift:
    """The champion's first 1,000 answers, by head and source, against each 1,000 after them.

    Compared are the shares of the labels and those of ten bins of confidence, by the population
    stability index. above is the index that counts as drift, 0 for never; 0.25 is the customary
    bound of a marked shift (Siddiqi 2006, Credit Risk Scorecards, ch. 9).
    """

    def __init__(self, above: float) -> None:
        self._above = above
        self._model = ""
        self._pairs: dict[tuple[str, str], _Pair] = {}
        self._shifts: dict[tuple[str, str, str], Shift] = {}

    def note(self, answers: Sequence[Answers], champion: str) -> list[Shift]:
        """Take answers in; returns the shifts of windows that they filled and that are drift.

        Another champion answers differently, so it begins a reference of its own; what other
        versions said is left out.
        """
        if champion != self._model:
            self.restart()
            self._model = champion
        found = []
        for one in answers:
            if one.model != champion:
                continue
            for head, said in one.heads.items():
                found += self._add(head, one.source, said)
        return found

    def restart(self) -> None:
        """What comes now is the reference: what moved before has been dealt with."""
        self._pairs.clear()
        self._shifts.clear()

    @property
    def shifts(self) -> list[Shift]:
        """Of every head and source, by what moved, as its last full window was."""
        return list(self._shifts.values())

    @property
    def drifted(self) -> list[Shift]:
        """Those of them that count as drift, the largest first."""
        beyond = [shift for shift in self._shifts.values() if 0 < self._above <= shift.distance]
        return sorted(beyond, key=lambda shift: -shift.distance)

    def _add(self, head: str, source: str, said: tuple[str, float]) -> list[Shift]:
        pair = self._pairs.setdefault((head, source), _Pair())
        if len(pair.reference) < WINDOW:
            pair.reference.append(said)
            return []
        pair.window.append(said)
        if len(pair.window) < WINDOW:
            return []
        for of, before, after in (
            ("labels", _labels(pair.reference), _labels(pair.window)),
            ("confidence", _confidences(pair.reference), _confidences(pair.window)),
        ):
            self._shifts[head, source, of] = Shift(head, source, of, stability(before, after))
        pair.window = []
        return [one for one in self.drifted if (one.head, one.source) == (head, source)]


def stability(before: Mapping[object, int], after: Mapping[object, int]) -> float:
    """The population stability index of two counts: the sum of (q - p) ln(q / p) over shares."""
    index, of_before, of_after = 0.0, sum(before.values()), sum(after.values())
    for name in {*before, *after}:
        p = max(FLOOR, before.get(name, 0) / of_before)
        q = max(FLOOR, after.get(name, 0) / of_after)
        index += (q - p) * math.log(q / p)
    return index


def _labels(said: Sequence[tuple[str, float]]) -> Counter[object]:
    return Counter(label for label, _ in said)


def _confidences(said: Sequence[tuple[str, float]]) -> Counter[object]:
    return Counter(min(CONFIDENCE_BINS - 1, int(sure * CONFIDENCE_BINS)) for _, sure in said)
