"""Eight-bit linear layers are near the exact ones on inputs like those seen; others are cut off."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from hypothesis import given, settings
from hypothesis import strategies as st

from models.int8 import STEPS, Int8Linear, Seen, feed_forward
from models.packed import multiplies_bf16

pytestmark = pytest.mark.filterwarnings("error")


@settings(max_examples=25)
@given(
    rows=st.integers(2, 200),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    offset=st.sampled_from([0.0, 5.0, -100.0]),
)
def test_it_is_near_the_exact_layer(rows, scale, offset):
    torch.manual_seed(rows)
    weight, bias = torch.randn(48, 96) * 0.05, torch.randn(48)
    x = (torch.randn(rows, 96) + offset) * scale
    layer = Int8Linear.by_channel(weight, bias, Seen.of(x))
    # Half a step of inputs and of weights, added up as chance adds them, five times over.
    step = 1 / layer.multiply
    inputs = (weight * step).norm(dim=1) / 12**0.5
    weights = (x - x.mean(0)).div(step).norm(dim=1)[:, None] * (weight * step).abs().amax(1) / 127
    bound = 5 * (inputs + weights / 12**0.5) + 1e-5 * scale * max(1, abs(offset))
    found = layer(layer.to_bytes(x), torch.float32)
    assert found.dtype == torch.float32
    assert ((found - F.linear(x, weight, bias)).abs() <= bound).all()


def test_channels_of_unlike_ranges_keep_their_digits():
    torch.manual_seed(0)
    ranges = torch.logspace(-1, 1, 64)
    weight, bias = torch.randn(32, 64) / ranges, torch.randn(32)
    x = torch.randn(500, 64) * ranges
    layer = Int8Linear.by_channel(weight, bias, Seen.of(x))
    exact = F.linear(x, weight, bias)
    error = layer(layer.to_bytes(x), torch.float32) - exact
    assert error.std() < 0.02 * exact.std()


def test_rounded_weights_add_nothing_on_average():
    torch.manual_seed(0)
    weight, bias = torch.randn(32, 64), torch.zeros(32)
    x = torch.randn(400, 64) * 0.1 + 3
    layer = Int8Linear.by_channel(weight, bias, Seen.of(x))
    error = layer(layer.to_bytes(x), torch.float32) - F.linear(x, weight)
    assert (error.mean(0).abs() < 5 * error.std(0) / len(x) ** 0.5).all()


def test_a_row_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    x = torch.randn(70, 64)
    layer = Int8Linear.by_channel(torch.randn(32, 64), torch.randn(32), Seen.of(x))
    x[3] *= 1e4
    rows = layer.to_bytes(x)
    alone = torch.cat([layer(row[None], torch.float32) for row in rows])
    torch.testing.assert_close(layer(rows, torch.float32), alone, rtol=1e-5, atol=1e-5)


def test_what_is_further_out_than_anything_seen_is_cut_off():
    layer = Int8Linear.by_channel(torch.eye(4), torch.zeros(4), Seen.of(torch.randn(50, 4)))
    far = layer.to_bytes(torch.tensor([[1e9, -1e9, 1e9, -1e9]]))
    assert far.tolist() == [[STEPS, 0, STEPS, 0]]
    found = layer(far, torch.float32)[0]
    assert (found[0::2] > 1).all()
    assert (found[1::2] < -1).all()


def test_weights_and_inputs_of_one_value_and_of_none():
    weight = torch.zeros(4, 8)
    weight[1] = 0.5
    bias = torch.tensor([1.0, 2.0, 3.0, 4.0])
    for value in (0.0, 7.0):
        x = torch.full((3, 8), value)
        layer = Int8Linear.by_channel(weight, bias, Seen.of(x))
        found = layer(layer.to_bytes(x), torch.float32)
        torch.testing.assert_close(found, F.linear(x, weight, bias))


def test_outputs_are_added_to_a_residual_in_place():
    torch.manual_seed(0)
    x, residual = torch.randn(20, 64), torch.randn(20, 32)
    layer = Int8Linear.by_channel(torch.randn(32, 64), torch.randn(32), Seen.of(x))
    rows = layer.to_bytes(x)
    expected = residual + layer(rows, torch.float32)
    layer.add_to(residual, rows)
    torch.testing.assert_close(residual, expected)


def test_outputs_for_attention_are_those_in_fp32():
    torch.manual_seed(0)
    x = torch.randn(20, 64)
    layer = Int8Linear.by_channel(torch.randn(32, 64), torch.randn(32), Seen.of(x))
    rows = layer.to_bytes(x)
    dtype = torch.bfloat16 if multiplies_bf16() else torch.float32
    found = layer(rows, dtype)
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), layer(rows, torch.float32), rtol=0.01, atol=0.01)


def feed(x, wide, narrow):
    """What the two layers give, exactly and in bytes."""
    hidden = F.gelu(F.linear(x, *wide))
    widen, narrowed = feed_forward(wide, Seen.of(x), narrow, Seen.of(hidden))
    found = torch.zeros(len(x), len(narrow[1]))
    narrowed.add_to(found, widen.gelu_bytes(widen.to_bytes(x), narrowed))
    return F.linear(hidden, *narrow), found


def test_two_layers_with_gelu_between_are_near_the_exact_ones():
    torch.manual_seed(0)
    wide = torch.randn(192, 64) * 0.2, torch.randn(192) * 0.1
    narrow = torch.randn(64, 192) * 0.1, torch.randn(64)
    exact, found = feed(torch.randn(500, 64), wide, narrow)
    assert (found - exact).std() < 0.03 * exact.std()


def test_a_neuron_that_goes_much_further_takes_no_steps_from_the_others():
    torch.manual_seed(0)
    wide = torch.randn(192, 64) * 0.2, torch.randn(192) * 0.1
    narrow = torch.randn(64, 192) * 0.1, torch.randn(64)
    x = torch.randn(500, 64)
    wide[0][7] = 0
    wide[0][7, 3] = 40
    wide[1][7] = -20
    narrow[0][:, 7] *= 0.01
    exact, found = feed(x, wide, narrow)
    assert F.gelu(F.linear(x, *wide))[:, 7].max() > 80
    assert (found - exact).std() < 0.1 * exact.std()


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=400))
@settings(max_examples=30)
def test_few_neurons_are_added_and_they_reach_as_far_as_was_seen(high):
    seen = torch.tensor(high)
    count = len(high)
    _, narrow = feed_forward(
        (torch.randn(count, 8), torch.zeros(count)),
        Seen.of(torch.randn(9, 8)),
        (torch.ones(2, count), torch.zeros(2)),
        Seen(torch.full_like(seen, -0.17), seen, seen),
    )
    parts = len(narrow.multiply)
    assert count <= parts <= count + max(1, count // 96)
    reach = (STEPS - narrow.zero) / float(narrow.multiply[0])
    assert max(high) <= reach * (parts - count + 1) + 0.01 * max(high) + 1e-5
