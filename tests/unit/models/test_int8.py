"""Eight-bit linear layers stay near the exact ones, whatever the values and the number of rows."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from hypothesis import given, settings
from hypothesis import strategies as st

from models.int8 import int8_linear

pytestmark = pytest.mark.filterwarnings("error")


@settings(max_examples=25)
@given(
    rows=st.integers(1, 200),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    offset=st.sampled_from([0.0, 5.0, -100.0]),
    gelu=st.booleans(),
)
def test_it_is_near_the_exact_layer(rows, scale, offset, gelu):
    torch.manual_seed(rows)
    weight, bias = torch.randn(48, 96) * 0.05, torch.randn(48)
    x = (torch.randn(rows, 96) + offset) * scale
    expected = F.linear(x, weight, bias)
    # Half a step of inputs and of weights, added up as chance adds them, five times over.
    step = (x.amax(1) - x.amin(1)) / 255
    rounding = step[:, None] * weight.norm(dim=1) / 12**0.5
    weights = x.norm(dim=1)[:, None] * weight.abs().amax(1) / 127 / 12**0.5
    bound = 5 * (rounding + weights) + 1e-5 * scale
    found = int8_linear(weight, bias, gelu=gelu)(x)
    assert found.dtype == torch.float32
    if gelu:
        expected, bound = F.gelu(expected), 1.2 * bound
    assert ((found - expected).abs() <= bound).all()


def test_a_row_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    linear = int8_linear(torch.randn(32, 64), torch.randn(32), gelu=False)
    x = torch.randn(70, 64)
    x[3] *= 1e4
    alone = torch.cat([linear(row[None]) for row in x])
    torch.testing.assert_close(linear(x), alone, rtol=1e-5, atol=1e-4)


def test_rows_and_weights_of_one_value_and_of_none():
    weight = torch.zeros(4, 8)
    weight[1] = 0.5
    linear = int8_linear(weight, torch.tensor([1.0, 2.0, 3.0, 4.0]), gelu=False)
    found = linear(torch.stack([torch.zeros(8), torch.full((8,), 7.0)]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 2, 3, 4], [1.0, 30, 3, 4]]))
