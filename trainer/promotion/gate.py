"""Whether a challenger may take the champion's place: a verdict with its reasons. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

Part = Literal["golden", "recent", "base"]
# Two-sided 95 %.
Z = 1.96
# A tail of 2.5 % is one in so many; whole numbers, as powers of two outgrow a float.
TAIL = 40
# With fewer labels of a head, each contradicts what the others teach, or nothing can.
LEAST_FOR_SUSPECTS = 20
# On fewer texts a single answer more or less would exceed max_loss.
LEAST_FOR_LOSS = 50
PER_CENT = 100


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One head on one kind of source in one part of the labelled texts, answer by answer.

    part: golden labels, which nobody ever trains on; recent ones, judged by models that did not see
    them; or base, our own held-out sentences. The two lists are paired: text for text, whether the
    champion and the challenger were right.
    """

    head: str
    source: str
    part: Part
    champion_right: tuple[bool, ...]
    challenger_right: tuple[bool, ...]

    @property
    def name(self) -> str:
        return f"{self.head} of {self.source or 'any source'}, {self.part}"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate lets pass.

    max_loss: accuracy that a slice of 50 texts or more may lose where chance can't be ruled out; a
    loss beyond chance is refused however small. max_suspects: share of a head's labels, and of each
    author's, that may contradict the others. max_slowdown: time of a batch against the champion's.
    """

    max_loss: float = 0.03
    max_suspects: float = 0.16
    max_slowdown: float = 1.25


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracies on a slice, and the 95 % interval of their difference (challenger - champion)."""

    name: str
    n: int
    champion: float
    challenger: float
    low: float
    high: float


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a head's labels contradict the others; of one author's, or of all if empty."""

    head: str
    author: str = ""
    suspects: int
    labels: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that the gate looks at. slowdown: the challenger's time for a batch over the champion's.

    doubts hold each author apart too: among many good labels one person's bad ones would drown.
    """

    slices: tuple[Slice, ...]
    doubts: tuple[Doubt, ...] = ()
    slowdown: float = 1.0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """promoted, and why: every reason is a sentence; changes are all slices, the worst first."""

    promoted: bool
    reasons: tuple[str, ...]
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        return f"{'promoted' if self.promoted else 'refused'}: {'; '.join(self.reasons)}"


def judge(evidence: Evidence, limits: Limits, *, must_gain: bool = True) -> Verdict:
    """Champion against challenger.

    must_gain: without a gain on golden or recent labels there is nothing to change for. Left out
    for a version that somebody promoted by hand: that one only must not be worse.
    """
    changes = sorted((_change(one) for one in evidence.slices), key=lambda change: change.low)
    reasons = [*_suspicions(evidence, limits), *_losses(evidence.slices, limits)]
    if evidence.slowdown > limits.max_slowdown:
        reasons.append(
            f"a batch takes {evidence.slowdown:.2f} times as long, {limits.max_slowdown:.2f} at "
            "most are allowed"
        )
    gains = _gains(evidence.slices)
    if not reasons and must_gain and not gains:
        reasons.append("no golden or recent label is answered better than before")
    if reasons:
        return Verdict(promoted=False, reasons=tuple(reasons), changes=tuple(changes))
    fine = gains or ["no slice is worse beyond chance"]
    return Verdict(promoted=True, reasons=tuple(fine), changes=tuple(changes))


def _suspicions(evidence: Evidence, limits: Limits) -> list[str]:
    found = [
        f"{one.suspects} of {one.labels} labels for {one.head}"
        f"{f' by {one.author}' if one.author else ''} contradict what the others teach "
        f"({one.suspects / one.labels * PER_CENT:.0f} %, {limits.max_suspects * PER_CENT:.0f} % at "
        "most are trusted)"
        for one in sorted(evidence.doubts, key=lambda one: (one.head, one.author))
        if one.labels >= LEAST_FOR_SUSPECTS and one.suspects > limits.max_suspects * one.labels
    ]
    if found:
        found[-1] += "; see `bellwether feedback suspects`"
    return found


def _losses(slices: Sequence[Slice], limits: Limits) -> list[str]:
    found = []
    for one in slices:
        change = _change(one)
        won, lost = _won_and_lost(one)
        # In texts: as a difference of shares 97 % less 94 % is a little more than 3 %.
        too_much = change.n >= LEAST_FOR_LOSS and lost - won > limits.max_loss * change.n
        if too_much or _beyond_chance(one):
            found.append(
                f"worse on {one.name}: {change.champion:.3f} to {change.challenger:.3f} of "
                f"{change.n} texts (difference {change.low:+.3f} to {change.high:+.3f})"
            )
    return found


def _gains(slices: Sequence[Slice]) -> list[str]:
    found = []
    for one in slices:
        change = _change(one)
        if one.part != "base" and change.challenger > change.champion:
            found.append(
                f"better on {one.name}: {change.champion:.3f} to {change.challenger:.3f} of "
                f"{change.n} texts"
            )
    return found


def _won_and_lost(one: Slice) -> tuple[int, int]:
    pairs = list(zip(one.champion_right, one.challenger_right, strict=True))
    won = sum(new and not old for old, new in pairs)
    return won, sum(old and not new for old, new in pairs)


def _beyond_chance(one: Slice) -> bool:
    """Whether the challenger is worse by the exact sign test (Agresti 2013, 11.1).

    Not by the interval of _change: where every text was lost it has no width, be it one text.
    """
    won, lost = _won_and_lost(one)
    differ = won + lost
    if won >= lost:
        return False
    ways = as_few = 1
    for wins in range(won):
        ways = ways * (differ - wins) // (wins + 1)
        as_few += ways
    return as_few * TAIL < 1 << differ


def _change(one: Slice) -> Change:
    """The paired difference with its normal interval (Agresti 2013, Categorical Data, 11.1)."""
    n = len(one.champion_right)
    won, lost = _won_and_lost(one)
    difference = (won - lost) / n
    deviation = math.sqrt(max(0.0, won + lost - (won - lost) ** 2 / n)) / n
    return Change(
        name=one.name,
        n=n,
        champion=sum(one.champion_right) / n,
        challenger=sum(one.challenger_right) / n,
        low=difference - Z * deviation,
        high=difference + Z * deviation,
    )
