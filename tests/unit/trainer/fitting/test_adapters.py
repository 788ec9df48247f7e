"""Differences to an encoder add up, and the strongest directions of one are kept."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from models.checkpoint import merge
from models.description import Checkpoint
from models.encoder import Encoder, load_encoder
from models.spec import Head
from tests.tiny_model import write_tiny_encoder
from trainer.fitting.adapters import compress, difference, stack, unfreeze

HEAD = Head(name="mood", labels=("bad", "good"))
HEADS = {"heads.weight": torch.zeros(2, 32), "heads.bias": torch.zeros(2)}


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    return load_encoder(str(write_tiny_encoder(tmp_path / "encoder")))


def merged(encoder: Encoder, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    other = copy.deepcopy(encoder)
    checkpoint = Checkpoint(
        name="m",
        encoder="e",
        encoder_fingerprint=other.fingerprint(),
        max_tokens=32,
        heads=(HEAD,),
    )
    merge(checkpoint, weights | HEADS, other)
    return {name: value.detach() for name, value in other.model.named_parameters()}


def changed(encoder: Encoder, method: str, *, seed: int) -> dict[str, torch.Tensor]:
    """What a fit would have given: every trained parameter moved, in place, by a random step."""
    trained = unfreeze(encoder, method, rank=2, alpha=4)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in trained.values():
            value.add_(0.05 * torch.randn(value.shape, generator=draw))
    return difference(encoder, method)


@pytest.mark.parametrize("first", ["lora", "full"])
@pytest.mark.parametrize("second", ["lora", "full"])
def test_two_fits_after_each_other_are_one_difference(encoder, first, second):
    parent = changed(copy.deepcopy(encoder), first, seed=1)
    once = copy.deepcopy(encoder)
    for name, value in merged(encoder, parent).items():
        dict(once.model.named_parameters())[name].data.copy_(value)
    child = changed(copy.deepcopy(once), second, seed=2)
    expected = merged(once, child)
    together = merged(encoder, stack(parent, child))
    for name, value in together.items():
        torch.testing.assert_close(value, expected[name], atol=5e-3, rtol=0)
    moved = max(
        (expected[name] - value).abs().max() for name, value in encoder.model.named_parameters()
    )
    assert moved > 0.05


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_head_that_was_pruned_is_not_learnt_again(encoder, method):
    output = "encoder.layer.0.attention.output.dense.weight"
    pruned = slice(16, 32)
    weight = encoder.weights[output]
    with torch.no_grad():
        weight[:, pruned] = 0
    other = copy.deepcopy(encoder)
    trained = unfreeze(other, method, rank=2, alpha=4)
    optimiser = torch.optim.AdamW(trained.values(), lr=0.01)
    for _ in range(3):
        optimiser.zero_grad()
        (other.pool([[2, 5, 6, 3]]) - 1).square().sum().backward()
        optimiser.step()
    after = merged(encoder, difference(other, method))[output]
    assert not after[:, pruned].any()
    assert (after - weight).abs().max() > 1e-3


def test_a_matrix_that_leaves_inputs_unread_is_kept_so():
    draw = torch.Generator().manual_seed(3)
    before = {"layer.weight": torch.randn(12, 20, generator=draw)}
    after = {"layer.weight": before["layer.weight"].clone()}
    after["layer.weight"][:, 4:8] = 0
    cut = compress(before, after, rank=2)
    torch.testing.assert_close(cut["encoder.layer.weight"], after["layer.weight"].half())


def test_heads_method_changes_no_parameter_of_the_encoder(encoder):
    assert unfreeze(encoder, "heads", rank=2, alpha=4) == {}
    assert difference(encoder, "heads") == {}


def test_compressed_matrix_is_the_nearest_of_its_rank():
    draw = torch.Generator().manual_seed(3)
    before = {"layer.weight": torch.randn(12, 20, generator=draw), "layer.bias": torch.zeros(12)}
    change = torch.randn(12, 3, generator=draw) @ torch.randn(3, 20, generator=draw)
    noise = 1e-3 * torch.randn(12, 20, generator=draw)
    after = {"layer.weight": before["layer.weight"] + change + noise, "layer.bias": torch.ones(12)}
    cut = compress(before, after, rank=3)
    assert cut["low_rank.layer.a"].shape == (3, 20)
    assert cut["low_rank.layer.b"].shape == (12, 3)
    product = cut["low_rank.layer.b"].float() @ cut["low_rank.layer.a"].float()
    torch.testing.assert_close(product, change, atol=0.03, rtol=0)
    torch.testing.assert_close(cut["encoder.layer.bias"], torch.ones(12).half())
    rougher = compress(before, after, rank=1)
    poor = rougher["low_rank.layer.b"].float() @ rougher["low_rank.layer.a"].float()
    assert (poor - change).norm() > 10 * (product - change).norm()
