"""Which heads a rule's condition goes by."""

from __future__ import annotations

import pytest

from stream.explain.heads_used import OF_RISK, OF_SENTIMENT, heads_used
from stream.signals.figures import FIGURES

HEADS = ("sentiment", "topic", "risk")
# Figures that say how many events there were, whatever a head made of them.
COUNTING = {
    *("events", "volume", "volume_long", "volume_z"),
    *("news_volume", "social_volume", "ticket_volume"),
}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ('topic.label == "earnings"', ("topic",)),
        ("signal.sentiment < -0.5 && signal.volume > 3.0", ("sentiment",)),
        ("signal.sources_down >= 2", ("sentiment",)),
        ("signal.high_risk > 0.5", ("risk",)),
        ('signal.negative > 0.5 && topic.label == "cards"', ("sentiment", "topic")),
        ("signal.high_risk > 0.5 || signal.positive > 0.9", ("sentiment", "risk")),
        ("signal.volume_z > 4.0 && event.novelty > 0.5", HEADS),
        ('signal["sentiment"] < 0.0', HEADS),
        ('event.text == "signal.high_risk"', HEADS),
        ("", HEADS),
    ],
)
def test_the_heads_are_those_named_and_those_behind_the_figures(
    when: str, expected: tuple[str, ...]
) -> None:
    assert heads_used(when, HEADS) == expected


def test_of_each_figure_it_is_known_what_it_comes_from() -> None:
    assert sorted([*COUNTING, *OF_RISK, *OF_SENTIMENT]) == sorted(FIGURES)


def test_a_head_that_the_model_lacks_is_not_asked_for() -> None:
    assert heads_used("signal.high_risk > 0.5", ("sentiment", "topic")) == ("sentiment", "topic")
