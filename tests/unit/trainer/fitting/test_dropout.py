"""Each text loses channels of its own, at all of its words, and only while it is asked for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trainer.fitting.dropout import dropped

STATES = torch.ones(6, 5, 2_000)


@pytest.fixture
def encoder() -> SimpleNamespace:
    return SimpleNamespace(model=nn.Sequential(nn.Identity(), nn.Dropout(0.5)).eval())


def test_the_words_of_a_text_lose_the_same_channels(encoder: SimpleNamespace) -> None:
    torch.manual_seed(1)
    with dropped(encoder, 0.25):
        found = encoder.model(STATES)
    assert torch.equal(found, found[:, :1].expand_as(found))
    lost = found[:, 0] == 0
    torch.testing.assert_close(found[:, 0][~lost], torch.full(((~lost).sum(),), 1 / 0.75))
    # Five standard errors.
    assert lost.float().mean(dim=1).tolist() == pytest.approx([0.25] * 6, abs=0.05)
    assert not torch.equal(lost[0], lost[1])


def test_types_and_what_attention_looks_at_stay(encoder: SimpleNamespace) -> None:
    looked = torch.ones(2, 3, 4, 4)
    with dropped(encoder, 0.25):
        assert encoder.model(STATES.bfloat16()).dtype == torch.bfloat16
        assert torch.equal(encoder.model(looked), looked)


def test_nothing_is_lost_without_a_share_or_afterwards(encoder: SimpleNamespace) -> None:
    with dropped(encoder, 0.0):
        assert torch.equal(encoder.model(STATES), STATES)
    with dropped(encoder, 0.5):
        pass
    assert torch.equal(encoder.model(STATES), STATES)
