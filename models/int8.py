"""Linear layers that multiply eight-bit integers, for CPUs with instructions for it.

Weights have a scale a row, inputs a scale and an offset a token, as in ZeroQuant (Yao et al. 2022,
NeurIPS): one scale for all tokens changes several times as many labels, since a few tokens have
values that are many times those of the others. So what becomes of a text does not depend on its
neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

STEPS = 255
"""Of an input, from the least of a token's values to the greatest."""
# oneDNN prepares itself for each number of rows, which takes milliseconds and some memory.
ROWS_STEP = 64
# So many inputs at a time stay in a core's cache between the steps that turn them into bytes.
BLOCK_ROWS = 128
# The layout of a weight is chosen for a number of rows; others run on it as well.
PACK_ROWS = 1024


def multiplies_int8() -> bool:
    """Whether this CPU multiplies bytes and adds them up in one instruction, without overflow."""
    able = torch.cpu.get_capabilities()
    names = ("avx512_vnni", "avx_vnni", "amx_int8")
    return able["architecture"] == "x86_64" and any(able.get(name) for name in names)


def int8_linear(
    weight: torch.Tensor, bias: torch.Tensor, *, gelu: bool
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The layer as a function from (tokens, inputs) to (tokens, outputs), both float32 on the CPU.

    weight: (outputs, inputs), bias: (outputs), float32; gelu: whether its GELU follows.
    """
    scales = weight.abs().amax(1).div_(127).clamp_(min=torch.finfo(torch.float32).tiny)
    whole = (weight / scales[:, None]).round_().to(torch.int8)
    # What an offset that a token's values all have adds, and the bias: (2, outputs).
    added = torch.stack([whole.sum(1) * scales, bias])
    laid_out = torch.ops.onednn.qlinear_prepack(whole, [PACK_ROWS, weight.shape[1]])
    zeros = torch.zeros(len(scales), dtype=torch.int64)
    multiply = torch.ops.onednn.qlinear_pointwise

    def linear(x: torch.Tensor) -> torch.Tensor:
        offset = x.amin(1, keepdim=True)
        step = (x.amax(1, keepdim=True) - offset).div_(STEPS)
        step.clamp_(min=torch.finfo(torch.float32).tiny)
        count = len(x)
        rows = torch.empty(-(-count // ROWS_STEP) * ROWS_STEP, x.shape[1], dtype=torch.uint8)
        inverse = step.reciprocal()
        for at in range(0, count, BLOCK_ROWS):
            some = slice(at, min(at + BLOCK_ROWS, count))
            rows[some].copy_((x[some] - offset[some]).mul_(inverse[some]).round_())
        y: torch.Tensor = multiply(
            rows, 1.0, 0, laid_out, scales, zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        y = y[:count].mul_(step).addmm_(torch.cat([offset, torch.ones_like(offset)], 1), added)
        return torch.ops.aten.gelu_(y) if gelu else y

    return linear
