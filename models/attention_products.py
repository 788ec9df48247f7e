"""Attention by two products over all heads of many rows at once, and a softmax in between."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch

from models.attention_rows import Block, Lengths, Rows, Stack, lay_out
from models.cores import on_one_core

# torch finds the maximum of 29 or of 48 numbers in seven times as long as that of 32. Rows of 96 or
# of 32 tokens are slower in all.
ROWS = Rows(tokens=64, step=32)
# What a core's cache holds: 1 MB, and half as much where they are rounded.
MOST_LOGITS = 1 << 18

Attend = Callable[[torch.Tensor], torch.Tensor]
"""Queries, keys and values, (tokens, 3 x heads x size), to what was found: (tokens, heads x size).

One serves all layers of a batch, one after the other; they may differ in their number of heads.
"""


def by_products(lengths: Lengths, *, head_size: int, dtype: torch.dtype) -> Attend:
    """Attention on a core of a CPU for texts of these lengths, ascending."""
    block = lay_out(lengths, ROWS, torch.float32, torch.device("cpu"))

    @functools.cache
    def products(heads: int) -> _Products:
        return _Products(block, heads, head_size, dtype)

    def attend(qkv: torch.Tensor) -> torch.Tensor:
        with on_one_core():
            return products(qkv.shape[1] // (3 * head_size))(qkv)

    return attend


class _Products:
    """What the layers of a batch with so many heads share: memory, and where in it what lies.

    Vectors lie stack by stack, in a stack row by row, in a row head by head.
    """

    def __init__(self, block: Block, heads: int, head_size: int, dtype: torch.dtype) -> None:
        stacks = [part for stack in block.stacks for part in _parts(stack, heads)]
        vectors = stacks[-1].place.stop * heads
        self._head_size = head_size
        self._source, self._place = _indices(block, stacks, heads)
        # Memory that each layer took anew would cost it as much as its products.
        self._laid = torch.empty(3 * vectors, head_size, dtype=dtype)
        self._found = torch.empty(vectors, head_size, dtype=dtype)
        logits = torch.empty(heads * max(stack.rows * stack.longest**2 for stack in stacks))
        rounded = logits if dtype == logits.dtype else torch.empty_like(logits, dtype=dtype)
        q, k, v = self._laid.view(3, vectors, head_size)
        self._calls = []
        for stack in stacks:
            at = slice(stack.place.start * heads, stack.place.stop * heads)
            matrices = stack.rows * heads, stack.longest, head_size
            square = stack.rows * heads, stack.longest, stack.longest
            used = math.prod(square)
            self._calls.append(
                _Call(
                    q[at].view(matrices),
                    k[at].view(matrices).transpose(1, 2),
                    v[at].view(matrices),
                    stack.mask,
                    logits[:used].view(square),
                    rounded[:used].view(square),
                    self._found[at].view(matrices),
                )
            )

    def __call__(self, qkv: torch.Tensor) -> torch.Tensor:
        torch.index_select(qkv.view(-1, self._head_size), 0, self._source, out=self._laid)
        scale = self._head_size**-0.5 * math.log2(math.e)
        for call in self._calls:
            call.run(scale)
        return self._found.index_select(0, self._place).view(len(qkv), -1)


class _Call(NamedTuple):
    """The vectors of one stack and its mask; rounded: the logits again, in the vectors' type."""

    queries: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor | None
    logits: torch.Tensor
    rounded: torch.Tensor
    found: torch.Tensor

    def run(self, scale: float) -> None:
        """The softmax is to base 2, which torch computes in a third of the time."""
        mask, logits, rounded = self.mask, self.logits, self.rounded
        torch.bmm(self.queries, self.keys, out=rounded)
        logits.copy_(rounded)  # nothing, where both are the same
        logits.mul_(scale)
        if mask is not None:
            logits.view(len(mask), -1, *logits.shape[1:]).add_(mask)
        logits.sub_(logits.amax(2, keepdim=True)).exp2_()
        sums = logits.sum(2, keepdim=True)
        rounded.copy_(logits)
        torch.bmm(rounded, self.values, out=self.found)
        self.found.div_(sums)


def _parts(stack: Stack, heads: int) -> Iterator[Stack]:
    """A stack cut so that each part has at most MOST_LOGITS, or a single row.

    Parts have 1, 2, 4, … rows, since oneDNN keeps a product for each number of rows that it meets.
    """
    most = max(1, MOST_LOGITS // (heads * stack.longest**2))
    low = 0
    while left := stack.rows - low:
        rows = 1 << min(most, left).bit_length() - 1
        begin = stack.place.start + low * stack.longest
        mask = None if stack.mask is None else stack.mask[low : low + rows]
        yield Stack(slice(begin, begin + rows * stack.longest), rows, stack.longest, mask)
        low += rows


def _indices(
    block: Block, stacks: Sequence[Stack], heads: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which of the tokens' vectors each of the stacks' is, and where each of theirs then lies."""
    places = stacks[-1].place.stop
    token = torch.arange(places) if block.source is None else block.source
    head = torch.arange(heads)[:, None]
    queries = torch.cat(
        [
            (token[stack.place].view(-1, 1, stack.longest) * 3 * heads + head).flatten()
            for stack in stacks
        ]
    )
    vector = torch.arange(places * heads)
    by_token = torch.cat(
        [
            vector[stack.place.start * heads : stack.place.stop * heads]
            .view(stack.rows, heads, -1)
            .transpose(1, 2)
            .flatten(0, 1)
            for stack in stacks
        ]
    )
    place = by_token if block.place is None else by_token[block.place]
    return torch.cat([queries, queries + heads, queries + 2 * heads]), place.flatten()
