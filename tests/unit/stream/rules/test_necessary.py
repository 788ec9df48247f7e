"""What is checked before CEL never says no where CEL says yes, nor yes where CEL says no."""

from __future__ import annotations

import cel
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from models.spec import DEFAULT_HEADS
from stream.rules.necessary import find_necessary
from tests.fakes import scores

HEADS = {head.name for head in DEFAULT_HEADS}

PARTS = st.sampled_from(
    [
        'sentiment.label == "negative"',
        "risk.label != 'low'",
        "!sentiment.abstained",
        "risk.abstained",
        "sentiment.confidence >= 0.5",
        "risk.confidence<0.9",
        "signal.volume > 3",
        "subject.relevance >= 0.5",
        "signal.sentiment_z <= -2.0",
        "(signal.volume > 3 || risk.confidence > 0.2)",
        "signal.volume > 3 ? true : false",
        "signal.volume > 3 || risk.abstained",
        'sentiment . label=="a && b"',
        "[1, 2].exists(x, x == 2)",
        "true",
    ]
)


@examples(max_examples=300)
@given(
    st.lists(PARTS, min_size=1, max_size=4),
    st.sampled_from(["negative", "neutral", "positive"]),
    st.sampled_from(["low", "high"]),
    st.floats(-5, 5),
    st.sampled_from([(), ("sentiment",), ("risk",)]),
)
def test_it_is_right_about_every_condition_that_it_denies(
    parts: list[str], tone: str, risk: str, figure: float, abstained: tuple[str, ...]
) -> None:
    confidence = 0.4 + abs(figure) / 10
    expression = " && ".join(parts)
    heads = scores(sentiment=(tone, confidence), risk=(risk, confidence), abstained=abstained)
    figures = {"volume": figure, "sentiment_z": figure}
    variables = {
        name: {"label": one.label, "confidence": one.confidence, "abstained": one.abstained}
        for name, one in heads.items()
    }
    holds = cel.compile(expression).execute(
        cel.Context(variables={**variables, "signal": figures, "subject": {"relevance": figure}})
    )
    necessary = find_necessary(expression, HEADS)
    may_hold = (
        necessary.may_hold(heads)
        and all(compare(figures[name], bound) for name, compare, bound in necessary.signals)
        and all(compare(figure, bound) for _, compare, bound in necessary.subject)
    )
    assert may_hold or not holds
    if necessary.suffices(heads):
        assert may_hold is holds


@pytest.mark.parametrize(
    ("expression", "heads", "signals", "whole"),
    [
        ('sentiment.label == "negative" && signal.volume >= 3.0', 1, 1, True),
        ("!sentiment.abstained && signal.volume>=3.0", 1, 1, True),
        ("sentiment.label == 'negative' || risk.label == 'high'", 0, 0, False),
        ("sentiment.label == 'a || b' && risk.confidence > 0.5", 2, 0, True),
        ("(sentiment.label == 'negative') && event.text.contains('&&')", 0, 0, False),
        ("sentiment.label == 'negative' && subject.relevance > 0.5", 1, 0, True),
        ("sentiment.label == 'negative' && subject.id == 'A'", 1, 0, False),
        ("mood.label == 'calm' && signal.volume_z > 1", 0, 1, False),
        ("sentiment.label == 'negative' // && risk.abstained", 0, 0, False),
        ("risk.confidence > 0.5 ? true : signal.volume > 3", 0, 0, False),
    ],
)
def test_it_knows_plain_comparisons_joined_by_and(
    expression: str, heads: int, signals: int, whole: bool
) -> None:
    found = find_necessary(expression, HEADS)
    assert (len(found.heads), len(found.signals), found.whole) == (heads, signals, whole)


def test_a_head_that_a_record_lacks_is_left_to_cel() -> None:
    found = find_necessary(
        "risk.label == 'high' && risk.confidence > 0.5 && !risk.abstained", HEADS
    )
    assert len(found.heads) == 3
    assert found.may_hold({})
    assert not found.suffices({})
    assert found.suffices(scores(risk="high"))
