"""Sequence packing for attention: texts of unequal length share rows, masked from each other.

Texts of one length can go through attention in one call, and a call costs as much as several texts
do. So where a batch has many lengths, its texts fill rows of one length (Krell et al. 2021,
"Efficient Sequence Packing without Cross-contamination").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

# What is computed for nothing grows with the square of this, and a call costs a row or two.
STACK_STRETCH = 1.25
STACK_SLACK = 4

Lengths = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Into what texts are laid: so many tokens share a row, whose length is a multiple of step.

    Shorter rows are more of them; in longer ones more is computed that the mask then hides.
    """

    tokens: int
    step: int = 1


class Stack(NamedTuple):
    """Rows of like length that share one call of attention, padded to the longest of them.

    place: their slice of the block, rows x longest. mask: (rows, 1, longest, longest), added to the
    attention's logits; None where each row is one text and nothing is padded.
    """

    place: slice
    rows: int
    longest: int
    mask: torch.Tensor | None


class Block(NamedTuple):
    """How packed tokens are laid out for attention and brought back.

    source: for each place of the block the token that stands there, any token where it is padding,
    which only other padding sees. place: for each token where it stands. Both None where the tokens
    are laid out as they come.
    """

    stacks: list[Stack]
    source: torch.Tensor | None
    place: torch.Tensor | None


def lay_out(lengths: Lengths, into: Rows, dtype: torch.dtype, device: torch.device) -> Block:
    """Texts of these lengths, ascending, whose tokens lie end to end; dtype: of the masks."""
    rows = share_rows(lengths.tolist(), into.tokens)
    fills = [-(-int(lengths[row].sum()) // into.step) * into.step for row in rows]
    begins = np.empty(len(lengths), np.int64)
    shapes = []
    end = 0
    for low, high in stack_rows(fills):
        longest = fills[high - 1]
        shapes.append((end, high - low, longest))
        for row in rows[low:high]:
            begins[row] = end + lengths[row].cumsum() - lengths[row]
            end += longest
    texts = np.repeat(np.arange(len(lengths)), lengths)
    tokens = np.arange(len(texts))
    place = tokens + np.repeat(begins - (lengths.cumsum() - lengths), lengths)
    owner = np.full(end, -1)
    owner[place] = texts
    stacks = []
    for begin, count, longest in shapes:
        at = slice(begin, begin + count * longest)
        mask = _mask(owner[at].reshape(count, longest), dtype)
        stacks.append(Stack(at, count, longest, None if mask is None else mask.to(device)))
    if end == len(tokens) and (place == tokens).all():
        return Block(stacks, None, None)
    source = np.zeros(end, np.int64)
    source[place] = tokens
    return Block(stacks, torch.from_numpy(source).to(device), torch.from_numpy(place).to(device))


def share_rows(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Texts of ascending lengths in rows, the fullest row last.

    Texts of like length have a row each. Others share rows of at most that many tokens: each goes
    into the first row that has room, the longest first; a longer one has a row of its own.
    """
    if len(stack_rows(lengths)) == 1:
        return [[text] for text in range(len(lengths))]
    rows: list[list[int]] = []
    rooms: list[int] = []
    for text in range(len(lengths) - 1, -1, -1):
        length = lengths[text]
        at = next((at for at, room in enumerate(rooms) if room >= length), len(rows))
        if at == len(rows):
            rows.append([])
            rooms.append(tokens)
        rows[at].append(text)
        rooms[at] -= length
    order = sorted(range(len(rows)), key=lambda at: -rooms[at])
    return [rows[at][::-1] for at in order]


def stack_rows(fills: Sequence[int]) -> list[tuple[int, int]]:
    """Cut ascending fills into slices [low, high) near enough to be padded to one length."""
    stacks = []
    low = 0
    for high, fill in enumerate(fills):
        if fill > max(fills[low] * STACK_STRETCH, fills[low] + STACK_SLACK):
            stacks.append((low, high))
            low = high
    stacks.append((low, len(fills)))
    return stacks


def _mask(owner: Lengths, dtype: torch.dtype) -> torch.Tensor | None:
    """Each text sees its own tokens; owner (rows, longest): whose token it is, -1 for padding."""
    if (owner == owner[:, :1]).all():
        return None
    strange = torch.from_numpy(owner[:, None, :, None] != owner[:, None, None, :])
    return torch.zeros(strange.shape, dtype=dtype).masked_fill_(strange, -math.inf)
