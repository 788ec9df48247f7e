"""Attention over tokens that lie end to end: those of one text see each other and no others."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling

from models.attention_products import Attend, by_products
from models.attention_rows import Lengths, Rows, lay_out
from models.cores import on_one_core
from models.race import race

Attention = Callable[[Lengths], Attend]
"""From the lengths of a batch's texts, ascending."""

logger = logging.getLogger(__name__)

# On two cores with bf16 rows of 64 and of 128 tokens took a fifth to a third longer.
ROWS = Rows(tokens=96)
# Products are computed by one core; where more share a batch the others would wait for it too long.
MOST_CORES = 2
MEASURED_LENGTHS = (*range(8, 56, 2), *range(60, 100, 10))
MEASURE_S = 0.03


def choose(device: torch.device, dtype: torch.dtype, heads: int, head_size: int) -> Attention:
    """The fastest way on this device; on few cores of a CPU it is measured, once for a process.

    torch's fused kernel multiplies row by row, by a library that knows the instructions for
    matrices of one maker's processors; products of many rows at once go to oneDNN, which knows
    those of all. One way serves batches of every size, though the kernel is sooner done with a
    single text: what a text is answered should not depend on what else comes.
    """
    if device.type == "cuda" and dtype == torch.bfloat16:
        return partial(by_offsets, head_size=head_size, device=device)
    if device.type == "cpu" and _few_cores() and _products_win(dtype, heads, head_size):
        return partial(by_products, head_size=head_size, dtype=dtype)
    return partial(fused, head_size=head_size, dtype=dtype, device=device)


def fused(lengths: Lengths, *, head_size: int, dtype: torch.dtype, device: torch.device) -> Attend:
    """By torch's fused kernel, a call for each stack of rows."""
    block = lay_out(lengths, ROWS, dtype, device)

    def attend(qkv: torch.Tensor) -> torch.Tensor:
        laid = qkv if block.source is None else qkv.index_select(0, block.source)
        out = laid.new_empty(len(laid), laid.shape[1] // 3)
        for stack in block.stacks:
            shape = stack.rows, stack.longest
            q, k, v = laid[stack.place].view(*shape, 3, -1, head_size).permute(2, 0, 3, 1, 4)
            found = F.scaled_dot_product_attention(q, k, v, attn_mask=stack.mask)
            out[stack.place].view(*shape, -1, head_size).copy_(found.transpose(1, 2))
        return out if block.place is None else out.index_select(0, block.place)

    return attend


def by_offsets(lengths: Lengths, *, head_size: int, device: torch.device) -> Attend:
    """By the kernel of FlashAttention (Dao 2023), which reads where texts begin: bf16 on a GPU."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - loads CUDA code

    ends = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
    offsets = torch.from_numpy(ends).to(device, non_blocking=True)
    longest = int(lengths.max())

    def attend(qkv: torch.Tensor) -> torch.Tensor:
        q, k, v = qkv.view(len(qkv), 3, -1, head_size).unbind(1)
        found = varlen_attn(q, k, v, offsets, offsets, longest, longest)
        return cast("torch.Tensor", found).reshape(len(qkv), -1)

    return attend


@cache
def _few_cores() -> bool:
    """As the process began: threads that run a batch have their share of the cores since."""
    return torch.get_num_threads() <= MOST_CORES


@cache
def _products_win(dtype: torch.dtype, heads: int, head_size: int) -> bool:
    lengths = np.array(MEASURED_LENGTHS)
    qkv = torch.randn(int(lengths.sum()), 3 * heads * head_size).to(dtype)
    ways = {
        "fused": fused(lengths, head_size=head_size, dtype=dtype, device=torch.device("cpu")),
        "products": by_products(lengths, head_size=head_size, dtype=dtype),
    }
    with on_one_core():
        least = race({way: partial(attend, qkv) for way, attend in ways.items()}, MEASURE_S)
    won = min(least, key=least.__getitem__)
    logger.info(
        "attention of %d tokens in %s on one core: fused %.1f ms, products %.1f ms, so %s",
        len(qkv),
        str(dtype).removeprefix("torch."),
        least["fused"] * 1e3,
        least["products"] * 1e3,
        won,
    )
    return won == "products"
