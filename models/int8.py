"""Linear layers that multiply eight-bit integers, for CPUs with instructions for it.

Weights have a scale a row. Inputs have a step a channel, fixed beforehand by what was seen of them,
so what becomes of a text does not depend on its neighbours. Steps that differ between channels are
multiplied into the weights, as in SmoothQuant (Xiao et al. 2023, ICML), and what rounding the
weights adds on average is taken off the bias (Nagel et al. 2019, "Data-Free Quantization Through
Weight Equalization and Bias Correction", ICCV).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from models.packed import PACK_ROWS

STEPS = 255
"""Of an input, from the least of its values to the greatest."""
MIDDLE = 128
"""The byte that stands for the middle of what was seen of a channel."""
# What was seen of a channel is stretched by this, as others will be further out: a few texts do not
# show its whole range.
MARGIN = 1.4
# Of the ranges of channels, how much the weights take over: 0 none, 1 all.
SMOOTHING = 0.75
# A channel that was always the same is given this part of the widest one's range.
LEAST_SHARE = 1e-3
LEAST_WIDTH = 1e-6
GELU_LEAST = -0.17
"""Of all values that GELU takes."""
# Of a layer's neurons, how many are added at most for those that go beyond the range of all. With
# more the range is shorter, and more of what was not seen is cut off.
ADDED_NEURONS = 1 / 96
SHORTER = 0.98
LEAST_REACH = 1e-3
"""That leaves a byte above 0, and those of GELU's negative values below."""


class Seen(NamedTuple):
    """The least, the greatest and the mean of each channel of an input, float32."""

    low: torch.Tensor
    high: torch.Tensor
    mean: torch.Tensor

    @classmethod
    def of(cls, x: torch.Tensor) -> Seen:
        """x: (tokens, channels)."""
        return cls(x.amin(0), x.amax(0), x.mean(0))


def multiplies_int8() -> bool:
    """Whether this CPU multiplies bytes and adds them up in one instruction, without overflow."""
    able = torch.cpu.get_capabilities()
    names = ("avx512_vnni", "avx_vnni", "amx_int8")
    return able["architecture"] == "x86_64" and any(able.get(name) for name in names)


def cut_to_bytes(x: torch.Tensor) -> torch.Tensor:
    """x, which is overwritten, as bytes. A half was added to it before, so cutting rounds."""
    # From float to unsigned byte, torch takes three times as long without the step in between.
    return x.clamp_(0, STEPS).to(torch.int16).to(torch.uint8)


class Int8Linear:
    """A layer whose inputs are bytes, as to_bytes makes them.

    multiply: (inputs,), 1 / the step of each channel. centred: (inputs,), what puts the middle of a
    channel at 0, where zero is the byte that stands for it.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        *,
        step: torch.Tensor,
        middle: torch.Tensor,
        zero: int,
        mean: torch.Tensor,
    ) -> None:
        """weight: (outputs, inputs), bias: (outputs,), the others: (inputs,), float32."""
        self.zero = zero
        self.multiply = 1 / step
        self.centred = -middle * self.multiply
        self._shift = self.centred + zero + 0.5
        self._step = float(step[0])
        scaled = weight * step
        self._scales = scaled.abs().amax(1).div_(127).clamp_(min=torch.finfo(torch.float32).tiny)
        whole = scaled.div_(self._scales[:, None]).round_()
        rounded = whole * self._scales[:, None] / step
        self._bias = bias + rounded @ middle + (weight - rounded) @ mean
        shape = [PACK_ROWS, weight.shape[1]]
        self._laid_out = torch.ops.onednn.qlinear_prepack(whole.to(torch.int8), shape)
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)

    @classmethod
    def by_channel(cls, weight: torch.Tensor, bias: torch.Tensor, seen: Seen) -> Int8Linear:
        """Each channel of the input has a step and a middle of its own."""
        width = (seen.high - seen.low) * MARGIN
        width.clamp_(min=max(LEAST_SHARE * float(width.max()), LEAST_WIDTH))
        share = width**SMOOTHING / weight.abs().amax(0).clamp_(min=LEAST_WIDTH) ** (1 - SMOOTHING)
        step = share * (width / share).max() / STEPS
        middle = (seen.low + seen.high) / 2
        return cls(weight, bias, step=step, middle=middle, zero=MIDDLE, mean=seen.mean)

    @classmethod
    def behind_gelu(
        cls, weight: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor, reach: float
    ) -> Int8Linear:
        """Every channel of the input has the range from GELU's least value to exactly reach."""
        zero = round(STEPS * GELU_LEAST / (GELU_LEAST - reach))
        step = reach / (STEPS - zero)
        return cls(
            weight,
            bias,
            step=torch.full_like(mean, step),
            middle=torch.zeros_like(mean),
            zero=zero,
            mean=mean,
        )

    def to_bytes(self, x: torch.Tensor) -> torch.Tensor:
        """x: (tokens, inputs), float32."""
        return cut_to_bytes(torch.addcmul(self._shift, x, self.multiply))

    def __call__(self, rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """(tokens, outputs) of that type, which may be float32 or bfloat16."""
        found: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *self._of(rows), self._bias, 1.0, 0, dtype, "none", [], ""
        )
        return found

    def gelu_bytes(self, rows: torch.Tensor, then: Int8Linear) -> torch.Tensor:
        """The exact GELU of the outputs as bytes for a layer behind_gelu: (tokens, outputs)."""
        found: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            *self._of(rows), self._bias, then._step, then.zero, torch.uint8, "gelu", [], "none"
        )
        return found

    def add_to(self, residual: torch.Tensor, rows: torch.Tensor) -> None:
        """Add the outputs to residual (tokens, outputs), float32, in place."""
        torch.ops.onednn.qlinear_pointwise.binary(
            *self._of(rows), residual, self._bias, 1.0, 0, torch.float32,
            1.0, 0, "sum", 1.0, "none", [], "",
        )  # fmt: skip

    def _of(self, rows: torch.Tensor) -> tuple[object, ...]:
        # The steps of channels are in the weight.
        return rows, 1.0, self.zero, self._laid_out, self._scales, self._zeros


def feed_forward(
    wide: tuple[torch.Tensor, torch.Tensor],
    seen: Seen,
    narrow: tuple[torch.Tensor, torch.Tensor],
    seen_behind_gelu: Seen,
) -> tuple[Int8Linear, Int8Linear]:
    """Two layers, each a weight and a bias, with GELU between them, and what was seen of inputs.

    A few neurons go four times as far as all others, and one range for all would leave the others
    few steps. So what a neuron has beyond the range is counted by another, of the same weights,
    that starts where the first one ends; around that point the two are short by at most 0.17.
    """
    of, begins, reach = _split(seen_behind_gelu.high)
    weight, bias = wide
    widen = Int8Linear.by_channel(weight[of], bias[of] - begins, seen)
    weight, bias = narrow
    # All parts of a neuron have its rounded weight, so its mean is counted once.
    mean = seen_behind_gelu.mean[of] * (begins == 0)
    return widen, Int8Linear.behind_gelu(weight[:, of], bias, mean, reach)


def _split(high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Parts of neurons that go up to high: whose each is, where it begins, and how long all are."""
    high = high.clamp(min=LEAST_REACH)
    most = max(1, int(len(high) * ADDED_NEURONS))
    reach = float(high.max())
    while _added(high, reach * SHORTER).sum() <= most:
        reach *= SHORTER
    parts = _added(high, reach).long() + 1
    of = torch.arange(len(high)).repeat_interleave(parts)
    before = (parts.cumsum(0) - parts).repeat_interleave(parts)
    return of, (torch.arange(len(of)) - before) * reach, reach


def _added(high: torch.Tensor, reach: float) -> torch.Tensor:
    return (high / reach).ceil() - 1
