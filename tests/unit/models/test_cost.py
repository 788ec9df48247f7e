"""The cost of batches is learnt from batches, and sizes follow it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cost import FEW_BATCHES, Cost, CostModel

SIZES = [(30, 1), (64, 3), (200, 4), (512, 20), (900, 25), (1_000, 40), (300, 12), (90, 2)]


def learnt(cost: Cost, *, rounds: int = 4) -> CostModel:
    model = CostModel()
    for tokens, texts in SIZES * rounds:
        model.observe(tokens, texts, cost.seconds(tokens, texts))
    return model


@given(st.floats(0.0, 0.02), st.floats(1e-6, 1e-3), st.floats(0.0, 1e-3))
def test_costs_that_follow_the_line_are_found(pass_s, token_s, text_s):
    true = Cost(pass_s, token_s, text_s)
    found = learnt(true).cost
    assert found is not None
    for tokens, texts in SIZES:
        assert found.seconds(tokens, texts) == pytest.approx(true.seconds(tokens, texts), rel=0.01)


def test_nothing_is_claimed_before_a_few_batches():
    model = CostModel()
    for _ in range(FEW_BATCHES - 1):
        model.observe(100, 4, 0.01)
    assert model.cost is None
    assert model.limit(1_024, 0.1) == (1_024, "budget")


def test_batches_of_one_size_are_enough_to_predict_that_size():
    model = CostModel()
    for _ in range(50):
        model.observe(100, 4, 0.01)
    assert model.cost is not None
    assert model.cost.seconds(100, 4) == pytest.approx(0.01, rel=0.01)


def test_no_term_is_below_nothing_however_strange_the_times():
    model = CostModel()
    for tokens, texts in SIZES * 4:
        model.observe(tokens, texts, 1.0 / tokens)
    assert model.cost is not None
    assert min(model.cost.pass_s, model.cost.token_s, model.cost.text_s) >= 0.0


def test_one_strange_batch_says_little():
    true = Cost(0.002, 1e-4, 0.0)
    model = learnt(true)
    model.observe(512, 16, 60.0)
    for tokens, texts in SIZES[1:]:
        model.observe(tokens, texts, true.seconds(tokens, texts))
    assert model.cost is not None
    assert model.cost.seconds(512, 16) < 1.2 * true.seconds(512, 16)


def test_another_speed_is_learnt_within_a_few_hundred_batches():
    model = learnt(Cost(0.002, 1e-4, 0.0))
    slower = Cost(0.004, 2e-4, 0.0)
    for tokens, texts in SIZES * 50:
        model.observe(tokens, texts, slower.seconds(tokens, texts))
    assert model.cost is not None
    assert model.cost.seconds(512, 16) == pytest.approx(slower.seconds(512, 16), rel=0.1)


@pytest.mark.parametrize(
    ("cost", "target_s", "expected"),
    [
        # 2 % of overhead at 49 passes' worth of tokens.
        (Cost(0.001, 1e-4, 0.0), 1.0, (490, "efficiency")),
        (Cost(0.004, 1e-4, 0.0), 1.0, (1_024, "budget")),
        (Cost(0.0, 1e-4, 0.0), 1.0, (256, "efficiency")),
        (Cost(0.004, 1e-4, 0.0), 0.054, (500, "latency")),
        (Cost(0.004, 1e-4, 0.0), 0.001, (1, "latency")),
    ],
)
def test_size_is_efficient_yet_within_the_target(cost, target_s, expected):
    tokens, reason = learnt(cost).limit(1_024, target_s)
    assert reason == expected[1]
    assert tokens == pytest.approx(expected[0], rel=0.02, abs=1)
