"""Drift: how far the champion's answers have moved since it began (stability index). Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec

# Of a head on one kind of source. At this size chance alone gives the 13 topics an index of about
# (13 - 1) (1/1000 + 1/1000) = 0.024 (Yurdakul 2018, Statistical Properties of the PSI).
WINDOW = 1_000
CONFIDENCE_BINS = 10
# An answer that never occurs on one side would make the index infinite.
FLOOR = 1e-4

Of = Literal["labels", "confidence"]
Natural = Annotated[int, msgspec.Meta(ge=0)]


class Answers(NamedTuple):
    """What a model said of one event: by head the label and its confidence (0..1)."""

    source: str
    model: str
    heads: Mapping[str, tuple[str, float]]


class Shift(NamedTuple):
    """How far a head's answers on one kind of source have moved; distance is a stability index."""

    head: str
    source: str
    of: Of
    distance: float

    def __str__(self) -> str:
        return f"{self.of} of {self.head} on {self.source} ({self.distance:.2f})"


class Counts(msgspec.Struct, forbid_unknown_fields=True):
    """Answers of one head on one kind of source: how many, by label and by bin of confidence."""

    labels: dict[str, Natural] = {}
    confidence: dict[str, Natural] = {}

    @property
    def answers(self) -> int:
        return sum(self.labels.values())

    def add(self, label: str, sure: float) -> None:
        bin_name = str(min(CONFIDENCE_BINS - 1, int(sure * CONFIDENCE_BINS)))
        self.labels[label] = self.labels.get(label, 0) + 1
        self.confidence[bin_name] = self.confidence.get(bin_name, 0) + 1


class Pair(msgspec.Struct, forbid_unknown_fields=True):
    """The reference of one head and source, the window that fills, and what is known of both.

    shifts are indices by what moved, as the last full window was; tried holds those of them that a
    deep fit has been tried for, as they were then.
    """

    head: str
    source: str
    reference: Counts = msgspec.field(default_factory=Counts)
    window: Counts = msgspec.field(default_factory=Counts)
    shifts: dict[Of, float] = {}
    tried: dict[Of, float] = {}

    @property
    def missing(self) -> int:
        """Answers that must come yet before the first indices."""
        return 0 if self.shifts else 2 * WINDOW - self.reference.answers - self.window.answers


class Seen(msgspec.Struct, forbid_unknown_fields=True):
    """All that is remembered of one champion's answers; a restart goes on from it."""

    champion: str = ""
    pairs: list[Pair] = []


class Drift:
    """The champion's first 1,000 answers, by head and source, against each 1,000 after them.

    Compared are the shares of the labels and those of ten bins of confidence, by the population
    stability index. above is the index that counts as drift, 0 for never; 0.25 is the customary
    bound of a marked shift (Siddiqi 2006, Credit Risk Scorecards, ch. 9).
    """

    def __init__(self, above: float, seen: Seen | None = None) -> None:
        self._above = above
        self.seen = seen or Seen()
        self._pairs = {(one.head, one.source): one for one in self.seen.pairs}

    def note(self, answers: Sequence[Answers], champion: str) -> list[Shift]:
        """Take answers in; returns the shifts of windows that they filled and that are drift.

        Another champion answers differently, so it begins a reference of its own; what other
        versions said is left out.
        """
        if champion != self.seen.champion:
            self.seen, self._pairs = Seen(champion), {}
        found = []
        for one in answers:
            if one.model != champion:
                continue
            for head, said in one.heads.items():
                found += self._add(head, one.source, said)
        return found

    def note_tried(self) -> list[Shift]:
        """A deep fit has been tried for what has drifted, which is returned.

        The same shift counts again when its index has grown by the bound once more, or when it has
        been below the bound meanwhile.
        """
        for pair in self._pairs.values():
            pair.tried = {of: far for of, far in pair.shifts.items() if far >= self._above}
        return self.drifted

    @property
    def shifts(self) -> list[Shift]:
        """Of every head and source, by what moved, as its last full window was."""
        return [
            Shift(pair.head, pair.source, of, far)
            for pair in self._pairs.values()
            for of, far in pair.shifts.items()
        ]

    @property
    def drifted(self) -> list[Shift]:
        """Those of them that count as drift, the largest first."""
        beyond = [shift for shift in self.shifts if 0 < self._above <= shift.distance]
        return sorted(beyond, key=lambda shift: -shift.distance)

    @property
    def untried(self) -> list[Shift]:
        """Those of drifted that no deep fit has been tried for as they are now."""
        return [shift for shift in self.drifted if not self._is_tried(shift)]

    def _is_tried(self, shift: Shift) -> bool:
        at = self._pairs[shift.head, shift.source].tried.get(shift.of)
        return at is not None and shift.distance < at + self._above

    def _add(self, head: str, source: str, said: tuple[str, float]) -> list[Shift]:
        pair = self._pairs.get((head, source))
        if pair is None:
            pair = self._pairs[head, source] = Pair(head, source)
            self.seen.pairs.append(pair)
        if pair.reference.answers < WINDOW:
            pair.reference.add(*said)
            return []
        pair.window.add(*said)
        if pair.window.answers < WINDOW:
            return []
        before, after = pair.reference, pair.window
        pair.shifts = {
            "labels": stability(before.labels, after.labels),
            "confidence": stability(before.confidence, after.confidence),
        }
        pair.tried = {of: at for of, at in pair.tried.items() if pair.shifts[of] >= self._above}
        pair.window = Counts()
        return [one for one in self.drifted if (one.head, one.source) == (head, source)]


def stability(before: Mapping[str, int], after: Mapping[str, int]) -> float:
    """The population stability index of two counts: the sum of (q - p) ln(q / p) over shares."""
    index, of_before, of_after = 0.0, sum(before.values()), sum(after.values())
    for name in {*before, *after}:
        p = max(FLOOR, before.get(name, 0) / of_before)
        q = max(FLOOR, after.get(name, 0) / of_after)
        index += (q - p) * math.log(q / p)
    return index
