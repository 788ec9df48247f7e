"""The average of checkpoints, as it is stored and served."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import torch

from models.checkpoint import merge, read_checkpoint, write_checkpoint
from models.encoder import load_encoder
from models.spec import ModelError
from tests.tiny_model import HEADS, tiny_weights, write_tiny_checkpoint, write_tiny_encoder
from trainer.base.soup import average

RANK = 16


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two checkpoints that differ in their heads and in what they add to the encoder."""
    encoder = write_tiny_encoder(tmp_path / "encoder")
    checkpoint = write_tiny_checkpoint(tmp_path / "first", encoder)
    write_checkpoint(tmp_path / "second", checkpoint, tiny_weights(seed=9))
    return tmp_path / "first", tmp_path / "second"


def merged(folder: Path, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Every parameter of the encoder and the heads."""
    checkpoint, _ = read_checkpoint(folder)
    encoder = load_encoder(checkpoint.encoder)
    joint = merge(checkpoint, weights, encoder)
    return dict(encoder.model.named_parameters()) | joint.linear.state_dict()


def test_the_average_lies_between_by_the_shares(folders):
    found = merged(folders[0], average({folders[0]: 1.0, folders[1]: 3.0}, RANK))
    first, second = (merged(folder, read_checkpoint(folder)[1]) for folder in folders)
    changed = "encoder.layer.0.output.dense.weight"
    assert not first[changed].allclose(second[changed], atol=0.1)
    for name, value in found.items():
        expected = 0.25 * first[name] + 0.75 * second[name]
        assert torch.allclose(value, expected, rtol=2e-3, atol=5e-3), name


def test_the_average_of_one_is_that_one(folders):
    weights = average({folders[0]: 2.0}, RANK)
    stored = read_checkpoint(folders[0])[1]
    assert weights.keys() == stored.keys()
    assert weights["heads.weight"].equal(stored["heads.weight"])


def test_other_heads_can_not_be_averaged(folders):
    checkpoint, _ = read_checkpoint(folders[0])
    other = msgspec.structs.replace(checkpoint, heads=HEADS[::-1])
    place = folders[0].with_name("other")
    write_checkpoint(place, other, tiny_weights(heads=HEADS[::-1]))
    with pytest.raises(ModelError, match="other: has another encoder or other heads than tiny"):
        average({folders[0]: 1.0, place: 1.0}, RANK)


def test_nothing_has_no_average():
    with pytest.raises(ModelError, match="at least one"):
        average({}, RANK)
