"""Texts in rows: every token stands somewhere once, and sees those of its own text alone."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.attention_rows import Rows, lay_out, share_rows, stack_rows

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60).map(sorted)
ROWS = st.builds(Rows, st.integers(1, 128), st.integers(1, 64))
CPU = torch.device("cpu")


@given(LENGTHS, st.integers(1, 128))
def test_rows_hold_every_text_once_and_no_more_than_fits(lengths, tokens):
    rows = share_rows(lengths, tokens)
    assert sorted(text for row in rows for text in row) == list(range(len(lengths)))
    fills = [sum(lengths[text] for text in row) for row in rows]
    assert fills == sorted(fills)
    for row, fill in zip(rows, fills, strict=True):
        assert fill <= tokens or len(row) == 1


def test_short_texts_share_rows_and_a_long_one_has_its_own():
    assert share_rows([3, 30, 31, 32, 33, 120], 96) == [[0, 1], [2, 3, 4], [5]]


def test_texts_of_like_length_have_a_row_each():
    assert share_rows([20, 21, 22, 23], 96) == [[0], [1], [2], [3]]


@given(LENGTHS)
def test_stacks_hold_every_row_once_and_similar_ones_together(fills):
    stacks = stack_rows(fills)
    assert [at for low, high in stacks for at in range(low, high)] == list(range(len(fills)))
    for low, high in stacks:
        assert fills[high - 1] <= max(fills[low] * 1.25, fills[low] + 4)


@given(LENGTHS, ROWS)
def test_a_token_is_brought_back_and_sees_its_own_text_alone(lengths, rows):
    block = lay_out(np.array(lengths), rows, torch.float32, CPU)
    tokens = sum(lengths)
    end = sum(stack.rows * stack.longest for stack in block.stacks)
    source = torch.arange(tokens) if block.source is None else block.source
    place = torch.arange(tokens) if block.place is None else block.place
    assert len(source) == end
    assert source[place].equal(torch.arange(tokens))
    texts = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    owner = torch.full((end,), -1)
    owner[place] = texts
    for stack in block.stacks:
        assert stack.longest % rows.step == 0
        own = owner[stack.place].view(stack.rows, stack.longest)
        seen = own[:, :, None] == own[:, None, :]
        if stack.mask is None:
            assert seen.all()
        else:
            assert (stack.mask[:, 0] == 0).equal(seen)
            assert stack.mask[:, 0][~seen].eq(-torch.inf).all()


def test_a_text_alone_is_left_as_it_is():
    block = lay_out(np.array([17]), Rows(tokens=96), torch.float32, CPU)
    assert (block.source, block.place) == (None, None)
    assert [(stack.rows, stack.longest, stack.mask) for stack in block.stacks] == [(1, 17, None)]
