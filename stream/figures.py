"""What rules read of a subject's windows: means, shares, and how far now is from usual. Pure."""

from __future__ import annotations

import math

import msgspec

from stream.names import SOURCE_KINDS
from stream.settings import Signals
from stream.signals import SHORT_SUMS, WINDOW_SUMS, Windows

FIGURES = (
    "events",
    "volume",
    "volume_long",
    "volume_z",
    "sentiment",
    "sentiment_long",
    "sentiment_z",
    "negative",
    "negative_long",
    "neutral",
    "neutral_long",
    "positive",
    "positive_long",
    "high_risk",
    "high_risk_long",
    "news_volume",
    "social_volume",
    "ticket_volume",
    "sources_down",
    "sources_up",
)
"""What rules read as signal.<name>; docs/rules.md explains each."""

WHOLE_FIGURES = ("events", "sources_down", "sources_up")
LEAST_DEVIATION = 0.2
"""Sentiment is in -1..1; a baseline steadier than this counts as this unsteady."""
UNKNOWN_DEVIATION = 0.5
LEAST_PRESENCE = 0.5
"""What a kind of source must weigh in the short window to have a say: one event a half-life ago."""


class Baseline(msgspec.Struct, frozen=True):
    """How the subject usually sounds: the long window without what the short one holds."""

    mean: float
    deviation: float
    weight: float


def figures(windows: Windows, settings: Signals) -> dict[str, float]:
    """Every figure of FIGURES, as of the subject's latest event."""
    short = dict(zip(WINDOW_SUMS, windows.sums, strict=False))
    long = dict(zip(WINDOW_SUMS, windows.sums[SHORT_SUMS:], strict=True))
    scored, scored_long = _scored(short), _scored(long)
    mean = _share(short["sentiment"], scored)
    usual = _baseline(short, long, settings)
    down, up = _turned(windows, usual)
    return {
        "events": windows.events,
        "volume": short["volume"],
        "volume_long": long["volume"],
        "volume_z": _volume_z(windows, short["volume"], long["volume"], settings),
        "sentiment": mean,
        "sentiment_long": _share(long["sentiment"], scored_long),
        "sentiment_z": _sentiment_z(mean, scored, usual),
        "negative": _share(short["negative"], scored),
        "negative_long": _share(long["negative"], scored_long),
        "neutral": _share(short["neutral"], scored),
        "neutral_long": _share(long["neutral"], scored_long),
        "positive": _share(short["positive"], scored),
        "positive_long": _share(long["positive"], scored_long),
        "high_risk": _share(short["high_risk"], short["risk"]),
        "high_risk_long": _share(long["high_risk"], long["risk"]),
        "news_volume": windows["news_volume"],
        "social_volume": windows["social_volume"],
        "ticket_volume": windows["ticket_volume"],
        "sources_down": down,
        "sources_up": up,
    }


def _scored(sums: dict[str, float]) -> float:
    return sums["negative"] + sums["neutral"] + sums["positive"]


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _baseline(short: dict[str, float], long: dict[str, float], settings: Signals) -> Baseline:
    # An event weighs at least as much in the long window as in the short one, so the difference
    # is itself a window: nearly nothing of what is new, nearly everything of what is old.
    weight = _scored(long) - _scored(short)
    if weight < settings.min_baseline:
        return Baseline(0.0, UNKNOWN_DEVIATION, 0.0)
    mean = (long["sentiment"] - short["sentiment"]) / weight
    squares = (long["sentiment_squares"] - short["sentiment_squares"]) / weight
    deviation = math.sqrt(max(squares - mean * mean, LEAST_DEVIATION**2))
    return Baseline(mean, deviation, weight)


def _sentiment_z(mean: float, scored: float, usual: Baseline) -> float:
    """Two-sample z of the short window's mean against the baseline's; 0 without a baseline.

    The statistic of NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.3, with the baseline's
    deviation for both. The weights stand for the numbers of events; they are never more than the
    effective numbers, so few or faded events give a small z.
    """
    if not usual.weight or scored <= 0:
        return 0.0
    spread = usual.deviation * math.sqrt(1 / scored + 1 / usual.weight)
    return (mean - usual.mean) / spread


def _volume_z(windows: Windows, short: float, long: float, settings: Signals) -> float:
    """The short window's volume against what the baseline's rate lets expect; 0 without one.

    For Poisson arrivals a decayed sum has the mean rate x (sum of weights) and the variance
    rate x (sum of squared weights): Campbell's theorem (1909). A variance below one event counts
    as one. Windows younger than their half-lives are taken as long as they have been.
    """
    usual = long - short
    if usual < settings.min_baseline:
        return 0.0
    age_s = (windows.at_us - windows.first_us) / 1e6
    length = _length(settings.short_half_life_s, age_s)
    rate = usual / (_length(settings.long_half_life_s, age_s) - length)
    variance = rate * _length(settings.short_half_life_s / 2, age_s)
    return (short - rate * length) / math.sqrt(max(variance, 1.0))


def _length(half_life_s: float, age_s: float) -> float:
    """The sum of the weights of one event a second, in seconds."""
    return half_life_s / math.log(2) * (1 - math.exp2(-age_s / half_life_s))


def _turned(windows: Windows, usual: Baseline) -> tuple[int, int]:
    """How many kinds of sources sound worse, and better, by a deviation than the subject used to.

    Without a baseline, that is by half the way from neutral to the extreme.
    """
    means = [
        windows[f"{kind}_sentiment"] / windows[f"{kind}_scored"]
        for kind in SOURCE_KINDS
        if windows[f"{kind}_scored"] >= LEAST_PRESENCE
    ]
    down = sum(mean <= usual.mean - usual.deviation and mean < 0 for mean in means)
    up = sum(mean >= usual.mean + usual.deviation and mean > 0 for mean in means)
    return down, up
