"""A version in shadow is promoted, refused or waited for by what it answered there."""

from __future__ import annotations

import pytest

from trainer.promotion.probation import Agreement, Probation, outcome, waits_for

PROBATION = Probation(events=100, longest_s=60.0, max_change=0.2)


def test_it_is_promoted_when_enough_answers_agree() -> None:
    decided = outcome(PROBATION, [Agreement("topic", 100, 20)], 1.0)
    assert decided is not None
    assert decided.promoted
    assert decided.why == "in shadow topic differs in 20 of 100 (20.0 %)"


def test_one_head_that_differs_too_often_is_enough_to_refuse_it() -> None:
    heads = [Agreement("risk", 100, 0), Agreement("topic", 100, 21)]
    decided = outcome(PROBATION, heads, 1.0)
    assert decided is not None
    assert not decided.promoted
    assert decided.why.startswith("in shadow topic differs in 21 of 100 (21.0 %), 20 % at most")


@pytest.mark.parametrize("heads", [[], [Agreement("topic", 99, 99)]])
def test_too_few_answers_wait_and_in_the_end_refuse(heads: list[Agreement]) -> None:
    assert outcome(PROBATION, heads, 59.0) is None
    decided = outcome(PROBATION, heads, 60.0)
    assert decided is not None
    assert not decided.promoted
    assert "within 60 s, 100 are asked for" in decided.why


def test_what_it_waits_for_is_said_in_words() -> None:
    assert waits_for(PROBATION, "v2", [Agreement("topic", 50, 1)]) == (
        "v2 in shadow, 50 of 100 answers: topic differs in 1 of 50 (2.0 %); labels wait"
    )
