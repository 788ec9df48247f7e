"""What rules read of a subject's windows: means, shares, and how far now is from usual. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from stream.config.signals import Signals
from stream.names import SOURCE_KINDS
from stream.signals.windows import KIND_SUMS, SHORT_SUMS, WINDOW_SUMS, Windows

WHOLE_FIGURES = ("events", "sources_down", "sources_up")
LEAST_DEVIATION = 0.2
"""Sentiment is in -1..1; a baseline steadier than this counts as this unsteady."""
UNKNOWN_DEVIATION = 0.5
LEAST_PRESENCE = 0.5
"""What a kind of source must weigh in the short window to have a say: one event a half-life ago."""

# Where the sums of each window begin, and where a sum stands in its window.
SHORT = 0
LONG = SHORT_SUMS
KIND_PLACES = range(len(WINDOW_SUMS), SHORT_SUMS, len(KIND_SUMS))
_NEGATIVE, _NEUTRAL, _POSITIVE, _SENTIMENT, _SQUARES, _RISK, _HIGH_RISK = range(1, 8)


Figure = Callable[[Windows, Signals], float]


class Baseline(msgspec.Struct, frozen=True):
    """How the subject usually sounds: the long window without what the short one holds."""

    mean: float
    deviation: float
    weight: float


def figures(windows: Windows, settings: Signals) -> dict[str, float]:
    """Every figure of FIGURES, as of the subject's latest event."""
    return {name: compute(windows, settings) for name, compute in _FIGURES.items()}


def figure_named(name: str) -> Figure:
    """What works out one of FIGURES, as of the subject's latest event."""
    return _FIGURES[name]


def _steady(value: float) -> float:
    """To nine digits after the point, so that 3 of 5 are 0.6 in whatever order they came.

    Redis and Windows keep the same sums in two ways, whose last digits differ; a comparison must
    come out the same.
    """
    return round(value * 1e9) / 1e9


def _steadied(compute: Figure) -> Figure:
    # _steady() written out: a call less for every rule and subject.
    return lambda windows, settings: round(compute(windows, settings) * 1e9) / 1e9


def _scored(windows: Windows, window: int) -> float:
    """In the window's own weight, as all sums are."""
    sums = windows.sums
    return sums[window + _NEGATIVE] + sums[window + _NEUTRAL] + sums[window + _POSITIVE]


def _share(place: int, window: int) -> Figure:
    """A label's share of what the model gave a sentiment; for sentiment itself, its mean."""

    def share(windows: Windows, _: Signals) -> float:
        whole = _scored(windows, window)
        return windows.sums[window + place] / whole if whole > 0 else 0.0

    return share


def _high_risk(window: int) -> Figure:
    def share(windows: Windows, _: Signals) -> float:
        whole = windows.sums[window + _RISK]
        return windows.sums[window + _HIGH_RISK] / whole if whole > 0 else 0.0

    return share


def _baseline(windows: Windows, settings: Signals) -> Baseline:
    # An event weighs at least as much in the long window as in the short one, so the difference
    # is itself a window: nearly nothing of what is new, nearly everything of what is old.
    sums, short, long = windows.sums, windows.short_weight, windows.long_weight
    weight = _scored(windows, LONG) / long - _scored(windows, SHORT) / short
    if _steady(weight) < settings.min_baseline:
        return Baseline(0.0, UNKNOWN_DEVIATION, 0.0)
    mean = (sums[LONG + _SENTIMENT] / long - sums[SHORT + _SENTIMENT] / short) / weight
    squares = (sums[LONG + _SQUARES] / long - sums[SHORT + _SQUARES] / short) / weight
    deviation = math.sqrt(max(squares - mean * mean, LEAST_DEVIATION**2))
    return Baseline(mean, deviation, weight)


def _sentiment_z(windows: Windows, settings: Signals) -> float:
    """Two-sample z of the short window's mean against the baseline's; 0 without a baseline.

    The statistic of NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.3, with the baseline's
    deviation for both. The weights stand for the numbers of events; they are never more than the
    effective numbers, so few or faded events give a small z.
    """
    usual = _baseline(windows, settings)
    weighted = _scored(windows, SHORT)
    if not usual.weight or weighted <= 0:
        return 0.0
    mean = windows.sums[SHORT + _SENTIMENT] / weighted
    scored = weighted / windows.short_weight
    spread = usual.deviation * math.sqrt(1 / scored + 1 / usual.weight)
    return (mean - usual.mean) / spread


def _volume_z(windows: Windows, settings: Signals) -> float:
    """The short window's volume against what the baseline's rate lets expect; 0 without one.

    For Poisson arrivals a decayed sum has the mean rate x (sum of weights) and the variance
    rate x (sum of squared weights): Campbell's theorem (1909). A variance below one event counts
    as one. Windows younger than their half-lives are taken as long as they have been.
    """
    short = windows.sums[SHORT] / windows.short_weight
    usual = windows.sums[LONG] / windows.long_weight - short
    if _steady(usual) < settings.min_baseline:
        return 0.0
    age_s = (windows.at_us - windows.first_us) / 1e6
    length = _length(settings.short_half_life_s, age_s)
    rate = usual / (_length(settings.long_half_life_s, age_s) - length)
    variance = rate * _length(settings.short_half_life_s / 2, age_s)
    return (short - rate * length) / math.sqrt(max(variance, 1.0))


def _length(half_life_s: float, age_s: float) -> float:
    """The sum of the weights of one event a second, in seconds."""
    return half_life_s / math.log(2) * (1 - math.exp2(-age_s / half_life_s))


def _sources_down(windows: Windows, settings: Signals) -> float:
    """How many kinds of sources sound worse by a deviation than the subject used to, and negative.

    Without a baseline, that is by half the way from neutral to the extreme.
    """
    usual = _baseline(windows, settings)
    bound = min(_steady(usual.mean - usual.deviation), 0.0)
    return sum(mean <= bound and mean < 0 for mean in _means_by_kind(windows))


def _sources_up(windows: Windows, settings: Signals) -> float:
    usual = _baseline(windows, settings)
    bound = max(_steady(usual.mean + usual.deviation), 0.0)
    return sum(mean >= bound and mean > 0 for mean in _means_by_kind(windows))


def _means_by_kind(windows: Windows) -> list[float]:
    sums, weight = windows.sums, windows.short_weight
    return [
        _steady(sums[place + 2] / sums[place + 1])
        for place in KIND_PLACES
        if _steady(sums[place + 1] / weight) >= LEAST_PRESENCE
    ]


def _count_scored(windows: Windows, _: Signals) -> float:
    # Written out: rules ask for no other figure as often.
    sums = windows.sums
    return (sums[_NEGATIVE] + sums[_NEUTRAL] + sums[_POSITIVE]) / windows.short_weight


def _volume(place: int) -> Figure:
    return lambda windows, _: windows.sums[place] / windows.short_weight


_COMPUTED: dict[str, Figure] = {
    "events": lambda windows, _: windows.events,
    "volume": _volume(SHORT),
    "volume_long": lambda windows, _: windows.sums[LONG] / windows.long_weight,
    "volume_z": _volume_z,
    "scored": _count_scored,
    "scored_long": lambda windows, _: _scored(windows, LONG) / windows.long_weight,
    "sentiment": _share(_SENTIMENT, SHORT),
    "sentiment_long": _share(_SENTIMENT, LONG),
    "sentiment_z": _sentiment_z,
    "negative": _share(_NEGATIVE, SHORT),
    "negative_long": _share(_NEGATIVE, LONG),
    "neutral": _share(_NEUTRAL, SHORT),
    "neutral_long": _share(_NEUTRAL, LONG),
    "positive": _share(_POSITIVE, SHORT),
    "positive_long": _share(_POSITIVE, LONG),
    "high_risk": _high_risk(SHORT),
    "high_risk_long": _high_risk(LONG),
    **{
        f"{kind}_volume": _volume(place)
        for kind, place in zip(SOURCE_KINDS, KIND_PLACES, strict=True)
    },
    "sources_down": _sources_down,
    "sources_up": _sources_up,
}
_FIGURES = {
    name: compute if name in WHOLE_FIGURES else _steadied(compute)
    for name, compute in _COMPUTED.items()
}
FIGURES = tuple(_FIGURES)
"""What rules read as signal.<name>; docs/rules.md explains each."""
