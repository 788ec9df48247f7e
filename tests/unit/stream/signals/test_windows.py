"""The windows of a subject and the figures that rules read from them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pydantic import ValidationError

from stream.config.signals import Signals
from stream.records import Scored, Subject
from stream.signals.figures import FIGURES, LEAST_DEVIATION, figures
from stream.signals.memory import SubjectWindows
from stream.signals.windows import MAX_SUBJECTS, MAX_WEIGHT, SUMS, Windows
from tests.fakes import scored, scores, sums

HOUR_S = 3_600.0
SETTINGS = Signals(short_half_life_s=HOUR_S, long_half_life_s=100 * HOUR_S)
SUBJECT = "ticker:HALC"


def said(after_s: float, sentiment: str = "neutral", **changes: Any) -> Scored:
    heads = scores(sentiment=(sentiment, 1.0))
    return scored(**{"id": f"e{after_s}", "after_s": after_s, "heads": heads, **changes})


def windows_of(*events: Scored, settings: Signals = SETTINGS, subject: str = SUBJECT) -> Windows:
    kept = SubjectWindows(settings)
    return [kept.observe(event) for event in events][-1][subject]


def figures_of(*events: Scored, settings: Signals = SETTINGS) -> dict[str, float]:
    return figures(windows_of(*events, settings=settings), settings)


def calm(hours: int) -> list[Scored]:
    """An event an hour, in turn a little positive and neutral."""
    turns = itertools.cycle(["positive", "neutral"])
    return [said(hour * HOUR_S, next(turns)) for hour in range(hours)]


def test_an_event_counts_half_after_one_half_life() -> None:
    found = windows_of(said(0), said(HOUR_S))
    assert sums(found)["short_volume"] == 1.5
    assert sums(found)["long_volume"] == 1 + 2**-0.01
    assert (found.events, found.late) == (2, 0)


def test_figures_have_every_name_once() -> None:
    assert tuple(figures_of(said(0))) == FIGURES
    assert len(set(SUMS)) == len(SUMS)


def test_three_of_five_are_six_tenths_in_whatever_order() -> None:
    tones = ["negative"] * 3 + ["positive"] * 2
    # Sums of 0.1 and of halves of it are not what they seem: 3 * 0.1 / 0.5 is above 0.6.
    little = (Subject("ticker", "HALC", relevance=0.1),)
    for order in set(itertools.permutations(tones)):
        events = [said(at, tone, subjects=little) for at, tone in enumerate(order)]
        assert figures_of(*[said(0, tone, subjects=little) for tone in order])["negative"] == 0.6
        assert figures_of(*events)["negative"] == round(figures_of(*events)["negative"], 9)


def test_an_event_later_than_the_limit_is_counted_and_left_out() -> None:
    limited = SETTINGS.model_copy(update={"max_late_s": 60.0})
    found = windows_of(said(1_000), said(939), said(940), settings=limited)
    assert (found.events, found.late) == (2, 1)


@examples(max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, 100_000), st.sampled_from(["negative", "neutral", "positive"])),
        min_size=2,
        max_size=12,
        unique_by=lambda one: one[0],
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_does_not_matter(events: list[tuple[int, str]], chance: Any) -> None:
    in_order = [said(after, sentiment) for after, sentiment in sorted(events)]
    mixed = in_order.copy()
    chance.shuffle(mixed)
    patient = SETTINGS.model_copy(update={"max_late_s": 1e9})
    first, second = (windows_of(*some, settings=patient) for some in (in_order, mixed))
    assert (first.at_us, first.first_us) == (second.at_us, second.first_us)
    assert sums(second) == pytest.approx(sums(first), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("step", [0.9, 40.0, 99.0, 101.0, 5_000.0])
def test_weights_stay_bounded_and_sums_right_however_long_a_subject_lives(step: float) -> None:
    events = [said(number * step * HOUR_S) for number in range(300)]
    found = windows_of(*events)
    ages = [(299 - number) * step for number in range(300)]
    now = sums(found)
    assert now["short_volume"] == pytest.approx(sum(2**-age for age in ages), rel=1e-9)
    assert now["long_volume"] == pytest.approx(sum(2 ** (-age / 100) for age in ages), rel=1e-9)
    assert 1 <= found.short_weight <= MAX_WEIGHT**2
    assert 1 <= found.long_weight <= MAX_WEIGHT**2


def test_shares_and_sentiment_leave_out_what_the_model_abstained_from() -> None:
    unsure = scores(abstained=("sentiment", "risk"), sentiment="negative", risk="high")
    found = figures_of(said(0, "positive"), said(0, id="e2", heads=unsure))
    assert found["volume"] == 2
    assert (found["positive"], found["negative"], found["sentiment"]) == (1.0, 0.0, 1.0)
    assert found["high_risk"] == 0.0


def test_relevance_weighs_everything_and_novelty_all_but_the_volume() -> None:
    copy = (Subject("ticker", "HALC", relevance=0.5, novelty=0.1),)
    found = sums(windows_of(said(0, "negative", subjects=copy)))
    assert found["short_volume"] == 0.5
    assert found["short_negative"] == found["news_scored"] == 0.05


def test_nothing_deviates_without_a_baseline() -> None:
    found = figures_of(*[said(0, "negative", id=f"e{n}") for n in range(50)])
    assert (found["sentiment_z"], found["volume_z"]) == (0.0, 0.0)


def test_the_z_of_sentiment_is_the_two_sample_statistic() -> None:
    events = [*calm(200), *(said(200 * HOUR_S, "negative", id=f"bad-{n}") for n in range(4))]
    windows = windows_of(*events)
    now = sums(windows)
    short = now["short_negative"] + now["short_neutral"] + now["short_positive"]
    long = now["long_negative"] + now["long_neutral"] + now["long_positive"]
    usual = (now["long_sentiment"] - now["short_sentiment"]) / (long - short)
    squares = (now["long_sentiment_squares"] - now["short_sentiment_squares"]) / (long - short)
    spread = math.sqrt(squares - usual**2) * math.sqrt(1 / short + 1 / (long - short))
    expected = (now["short_sentiment"] / short - usual) / spread
    found = figures(windows, SETTINGS)
    assert found["sentiment_z"] == pytest.approx(expected)
    assert found["sentiment_z"] < -3
    assert usual == pytest.approx(0.5, abs=0.02)


def test_a_steady_baseline_counts_as_a_little_unsteady() -> None:
    events = [*(said(hour * HOUR_S) for hour in range(200)), said(200 * HOUR_S, "negative")]
    short, long = 3 - 2**-199, 200.0
    z = figures_of(*events)["sentiment_z"]
    assert z > -1 / (LEAST_DEVIATION * math.sqrt(1 / short + 1 / long))


def test_one_event_is_never_a_wave_and_ten_are() -> None:
    usual = calm(200)
    assert abs(figures_of(*usual)["volume_z"]) < 1
    one = figures_of(*usual, said(199.5 * HOUR_S))
    ten = figures_of(*usual, *(said(199.5 * HOUR_S, id=f"w{n}") for n in range(10)))
    assert one["volume_z"] < 2
    assert ten["volume_z"] > 6


def test_a_subject_that_is_new_is_measured_by_the_time_it_has_been_seen() -> None:
    """Else its short window would always look full against a long one that had no time to fill."""
    young = calm(24)
    assert abs(figures_of(*young)["volume_z"]) < 1


def test_kinds_of_sources_that_turned_are_counted_apart() -> None:
    bad = [
        said(200 * HOUR_S, "negative", id=f"{kind}-{n}", source=kind)
        for kind in ("social", "ticket")
        for n in range(2)
    ]
    found = figures_of(*calm(195), *bad)
    assert (found["sources_down"], found["sources_up"]) == (2, 0)
    assert found["social_volume"] == found["ticket_volume"] == 2


def test_an_event_of_many_subjects_counts_for_the_most_relevant() -> None:
    many = tuple(Subject("ticker", f"T{n}", relevance=n / 1_000) for n in range(200))
    found = SubjectWindows(SETTINGS).observe(said(0, subjects=many))
    assert len(found) == MAX_SUBJECTS + 1
    assert "ticker:T199" in found
    assert "ticker:T1" not in found


def test_each_source_is_a_subject_of_its_own() -> None:
    assert windows_of(said(0), said(1), subject="source:news").events == 2


def test_windows_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValidationError, match="at least twice short_half_life_s"):
        Signals(short_half_life_s=100, long_half_life_s=150)
