"""Whom people are asked about: unsure, unlike each other, none twice, a few sure ones."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.labels.active_learning import choose

NOBODY = torch.empty(0, 4)


def sureness(*confidences: float) -> torch.Tensor:
    """(n, 2) probabilities of two labels."""
    first = torch.tensor(confidences)
    return torch.stack([first, 1.0 - first], dim=1)


def test_the_unsure_go_before_the_sure() -> None:
    vectors = torch.eye(4)
    asked = choose(sureness(0.99, 0.52, 0.95, 0.6), vectors, NOBODY, 2)
    assert [one.at for one in asked] == [1, 3]
    assert {one.why for one in asked} == {"unsure"}


def test_of_two_alike_only_one_is_asked_before_something_new() -> None:
    vectors = torch.tensor([[1.0, 0, 0, 0], [0.999, 0.01, 0, 0], [0, 0, 1.0, 0]])
    asked = choose(sureness(0.5, 0.51, 0.6), vectors, NOBODY, 2)
    assert [one.at for one in asked] == [0, 2]


def test_what_resembles_a_labelled_text_comes_later() -> None:
    vectors = torch.eye(4)[:3]
    asked = choose(sureness(0.5, 0.55, 0.56), vectors, vectors[:1], 2)
    assert [one.at for one in asked] == [1, 2]


def test_one_in_ten_is_a_sure_one() -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = sureness(*torch.linspace(0.5, 0.99, 200).tolist())
    vectors = torch.randn(200, 4, generator=generator)
    asked = choose(probabilities, vectors, NOBODY, 20)
    sure = [one.at for one in asked if one.why == "sure"]
    assert len(sure) == 2
    assert all(probabilities[at, 0] > 0.7 for at in sure)


def test_a_head_without_any_doubt_asks_about_nothing_twice() -> None:
    vectors = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    asked = choose(sureness(*[0.5] * 3, *[1.0] * 57), vectors, NOBODY, 20)
    assert len({one.at for one in asked}) == len(asked) == 20


@given(n=st.integers(0, 30), count=st.integers(0, 40), seed=st.integers(0, 1000))
def test_nothing_is_asked_twice_and_never_more_than_there_is(n: int, count: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(n, 3, generator=generator).softmax(dim=1)
    asked = choose(probabilities, torch.randn(n, 4, generator=generator), NOBODY, count)
    assert len({one.at for one in asked}) == len(asked) == min(n, count)
