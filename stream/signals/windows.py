"""What lately happened around a subject, as decayed sums in event time.

A window is a set of sums in which an event counts 2^(-age / half-life). Instead of shrinking every
sum as time goes on, each event is added with a weight that doubles every half-life, and whoever
reads the sums divides them by the latest weight. So an event costs a few additions, one that comes
late is added with its smaller weight, the order of arrival does not matter, and a long window costs
what a short one does (Cormode, Shkapenyuk, Srivastava and Xu 2009, "Forward Decay: A Practical Time
Decay Model for Streaming Systems"). scripts/observe.lua does the arithmetic of fold() in Redis.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from math import exp2

import msgspec

from stream.config.signals import Signals
from stream.names import SOURCE_KINDS
from stream.records import Scored

WINDOW_SUMS = (
    "volume",
    "negative",
    "neutral",
    "positive",
    "sentiment",
    "sentiment_squares",
    "risk",
    "high_risk",
)
KIND_SUMS = ("volume", "scored", "sentiment")
SUMS = (
    *(f"short_{name}" for name in WINDOW_SUMS),
    *(f"{kind}_{name}" for kind in SOURCE_KINDS for name in KIND_SUMS),
    *(f"long_{name}" for name in WINDOW_SUMS),
)
"""The sums in the order they are kept; short ones first. observe.lua has as many."""
SHORT_SUMS = len(WINDOW_SUMS) + len(SOURCE_KINDS) * len(KIND_SUMS)

FEW_HALF_LIVES = 450.0
"""A weight, or one step of it, doubles so often at most before the sums are divided by it."""
MAX_WEIGHT = 2.0**FEW_HALF_LIVES

MAX_SUBJECTS = 50
"""Of one event; the most relevant ones are counted."""

_SENTIMENT = {"negative": 1, "neutral": 2, "positive": 3}


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One event, as the windows of its subjects see it.

    subjects holds (subject, relevance, relevance x novelty): the first counts towards the volume,
    since a copy is attention, the second towards all else, since a copy says nothing new. label is
    1, 2, 3 for negative, neutral, positive, and 0 where the model abstained; risk is 0 where it
    abstained, 2 for high, 1 else.
    """

    at_us: int
    kind: int
    label: int
    sentiment: float
    risk: int
    subjects: list[tuple[str, float, float]]


def observe(scored: Scored, kinds: Collection[str] | None = None) -> Observation:
    """kinds: which subjects to see; None for all."""
    sentiment = scored.heads.get("sentiment")
    label = 0
    score = 0.0
    if sentiment is not None and not sentiment.abstained:
        label = _SENTIMENT.get(sentiment.label, 0)
        given = sentiment.scores
        score = given.get("positive", 0.0) - given.get("negative", 0.0)
    risk = scored.heads.get("risk")
    known_risk = 0
    if risk is not None and not risk.abstained:
        known_risk = 2 if risk.label == "high" else 1
    subjects = scored.subjects
    if len(subjects) > MAX_SUBJECTS:
        subjects = tuple(sorted(subjects, key=lambda one: -one.relevance)[:MAX_SUBJECTS])
    seen = [
        (f"{one.kind}:{one.id}", one.relevance, one.relevance * one.novelty)
        for one in subjects
        if kinds is None or one.kind in kinds
    ]
    if kinds is None or "source" in kinds:
        seen.append((f"source:{scored.source}", 1.0, scored.novelty))
    return Observation(
        time_us(scored.time),
        SOURCE_KINDS.index(scored.source),
        label,
        score,
        known_risk,
        seen,
    )


def time_us(time: datetime) -> int:
    """Microseconds since 1970."""
    return round(time.timestamp() * 1_000_000)


def span_us(seconds: float) -> int:
    return round(seconds * 1_000_000)


@dataclass(slots=True)
class Windows:
    """The sums of one subject; at_us is the latest event time seen (microseconds).

    short_weight and long_weight, from 1 to MAX_WEIGHT squared, are what an event at at_us weighs in
    the sums: divided by them they are as of at_us. events and late count for ever; late ones came
    more than max_late_s behind and are in no sum.
    """

    events: int
    late: int
    first_us: int
    at_us: int
    short_weight: float
    long_weight: float
    sums: list[float]

    @classmethod
    def empty(cls) -> Windows:
        return cls(0, 0, 0, 0, 1.0, 1.0, [0.0] * len(SUMS))

    def set_back(self, short_lives: float, long_lives: float) -> None:
        """Let sums be as of so many half-lives later, and an event then weigh 1 in them."""
        short = exp2(-short_lives) / self.short_weight
        long = exp2(-long_lives) / self.long_weight
        sums = self.sums
        sums[:SHORT_SUMS] = [one * short for one in sums[:SHORT_SUMS]]
        sums[SHORT_SUMS:] = [one * long for one in sums[SHORT_SUMS:]]
        self.short_weight = self.long_weight = 1.0


def fold(  # noqa: C901, PLR0915 - in one piece: a call a subject would cost a backtest a twentieth
    seen: Observation, subjects: MutableMapping[str, Windows], settings: Signals
) -> dict[str, Windows]:
    """Add an event to the windows of its subjects, begun where there are none; returns them."""
    found: dict[str, Windows] = {}
    at, label, sentiment, risk = seen.at_us, seen.label, seen.sentiment, seen.risk
    kind = len(WINDOW_SUMS) + seen.kind * len(KIND_SUMS)
    short_us = settings.short_half_life_s * 1e6
    long_us = settings.long_half_life_s * 1e6
    late_us = settings.max_late_s * 1e6
    for name, relevance, news in seen.subjects:
        windows = subjects.get(name)
        if windows is None:
            windows = subjects[name] = Windows.empty()
        found[name] = windows
        if not windows.events:
            windows.first_us = windows.at_us = at
        short, long = windows.short_weight, windows.long_weight
        ahead = at - windows.at_us
        if ahead > 0:
            windows.at_us = at
            short_lives, long_lives = ahead / short_us, ahead / long_us
            # The short window's weight is the larger one, having the shorter half-life.
            if short_lives <= FEW_HALF_LIVES and short <= MAX_WEIGHT:
                windows.short_weight = short = short * exp2(short_lives)
                windows.long_weight = long = long * exp2(long_lives)
            else:
                windows.set_back(short_lives, long_lives)
                short = long = 1.0
        elif ahead < 0:
            if -ahead > late_us:
                windows.late += 1
                continue
            short *= exp2(ahead / short_us)
            long *= exp2(ahead / long_us)
            windows.first_us = min(windows.first_us, at)
        windows.events += 1
        sums = windows.sums
        volume = relevance * short
        sums[0] += volume
        sums[kind] += volume
        sums[SHORT_SUMS] += relevance * long
        short *= news
        long *= news
        if label:
            tone = short * sentiment
            sums[label] += short
            sums[4] += tone
            sums[5] += tone * sentiment
            sums[kind + 1] += short
            sums[kind + 2] += tone
            tone = long * sentiment
            sums[SHORT_SUMS + label] += long
            sums[SHORT_SUMS + 4] += tone
            sums[SHORT_SUMS + 5] += tone * sentiment
        if risk:
            sums[6] += short
            sums[SHORT_SUMS + 6] += long
            if risk > 1:
                sums[7] += short
                sums[SHORT_SUMS + 7] += long
    return found
