"""Every way of attention finds what plain softmax(q k) v finds in each text alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import attention, attention_products
from models.attention import choose, fused
from models.attention_products import by_products

CPU = torch.device("cpu")
HEAD_SIZE = 8
LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=12).map(sorted).map(np.array)
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.03}


def ways(lengths, dtype):
    return (
        fused(lengths, head_size=HEAD_SIZE, dtype=dtype, device=CPU),
        by_products(lengths, head_size=HEAD_SIZE, dtype=dtype),
    )


def some_qkv(lengths, heads, dtype=torch.float32, *, seed=0, scale=1.0) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    shape = int(sum(lengths)), 3 * heads * HEAD_SIZE
    return (torch.randn(shape, generator=made) * scale).to(dtype)


def text_by_text(qkv, lengths) -> torch.Tensor:
    found = []
    for of_text in qkv.double().split([int(length) for length in lengths]):
        q, k, v = of_text.view(len(of_text), 3, -1, HEAD_SIZE).permute(1, 2, 0, 3)
        weights = (q @ k.transpose(1, 2) / HEAD_SIZE**0.5).softmax(-1)
        found.append((weights @ v).transpose(0, 1).flatten(1))
    return torch.cat(found)


def assert_found(found, qkv, lengths) -> None:
    assert found.dtype == qkv.dtype
    bound = TOLERANCE[qkv.dtype]
    torch.testing.assert_close(found.double(), text_by_text(qkv, lengths), atol=bound, rtol=bound)


@settings(max_examples=30)
@given(LENGTHS, st.integers(1, 3), st.sampled_from(list(TOLERANCE)))
def test_a_text_finds_what_it_finds_alone(lengths, heads, dtype):
    qkv = some_qkv(lengths, heads, dtype)
    for attend in ways(lengths, dtype):
        assert_found(attend(qkv), qkv, lengths)


def test_layers_may_differ_in_heads_and_do_not_disturb_each_other():
    lengths = np.array([3, 40, 41, 90])
    for attend in ways(lengths, torch.float32):
        inputs = [some_qkv(lengths, heads, seed=seed) for seed, heads in enumerate((2, 1, 2))]
        found = [attend(qkv) for qkv in inputs]
        for qkv, one in zip(inputs, found, strict=True):
            assert_found(one, qkv, lengths)


def test_stacks_with_many_logits_are_done_in_parts(monkeypatch):
    lengths = np.array([20] * 7 + [60, 61, 150])
    qkv = some_qkv(lengths, 2)
    whole = by_products(lengths, head_size=HEAD_SIZE, dtype=qkv.dtype)(qkv)
    # Three rows of 32 tokens with two heads; one of 160 has more than that.
    monkeypatch.setattr(attention_products, "MOST_LOGITS", 3 * 2 * 32 * 32)
    in_parts = by_products(lengths, head_size=HEAD_SIZE, dtype=qkv.dtype)(qkv)
    assert_found(in_parts, qkv, lengths)
    torch.testing.assert_close(in_parts, whole)


def test_logits_far_from_zero_overflow_nothing():
    lengths = np.array([5, 30, 70, 90])
    qkv = some_qkv(lengths, 2, scale=10.0)
    found = by_products(lengths, head_size=HEAD_SIZE, dtype=qkv.dtype)(qkv)
    expected = text_by_text(qkv, lengths)
    torch.testing.assert_close(found.double(), expected, atol=1e-3, rtol=1e-3)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("win", "few"), [(True, True), (True, False), (False, True)])
def test_products_are_taken_where_they_won_and_cores_are_few(monkeypatch, win, few):
    monkeypatch.setattr(attention, "_products_win", lambda *_: win)
    monkeypatch.setattr(attention, "_few_cores", lambda: few)
    chosen = choose(CPU, torch.float32, 2, HEAD_SIZE)
    assert isinstance(chosen, partial)
    assert chosen.func is (by_products if win and few else fused)
    lengths = np.array([7, 9, 60])
    qkv = some_qkv(lengths, 2)
    assert_found(chosen(lengths)(qkv), qkv, lengths)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("cores", [1, 2])
def test_products_leave_a_thread_the_cores_that_it_had(cores):
    torch.set_num_threads(cores)
    lengths = np.array([7, 9, 60])
    attend = by_products(lengths, head_size=HEAD_SIZE, dtype=torch.float32)
    attend(some_qkv(lengths, 2))
    assert torch.get_num_threads() == cores
    with pytest.raises(RuntimeError):
        attend(some_qkv(lengths, 2, torch.bfloat16))
    assert torch.get_num_threads() == cores


def test_the_measurement_says_what_it_found(caplog):
    caplog.set_level("INFO", logger="models.attention")
    before = torch.get_num_threads()
    won = attention._products_win.__wrapped__(torch.float32, 2, HEAD_SIZE)
    assert torch.get_num_threads() == before
    (message,) = caplog.messages
    assert message.endswith("so products" if won else "so fused")
    assert "in float32 on one core: fused" in message
