"""Heads that nothing rests on go first, answers stay, and a model that lost too much is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import msgspec
import pytest
import torch

from models.checkpoint import merge, read_checkpoint, write_checkpoint
from models.encoder import Encoder, load_encoder
from models.heads import JointHeads
from models.predictor import load_predictor
from tests.tiny_model import HEADS
from trainer.data.dataset import Example
from trainer.errors import EvaluateError
from trainer.evaluate import score_texts
from trainer.prune import Way, _refuse, importance, prune

MOOD = HEADS[0]
WORDS = ("ferry", "radio", "engine", "lamp", "kettle", "drill")
TEXTS = [" ".join(words) for words in product(WORDS, repeat=3)]
# The tiny encoder has two heads of width 16 in each of two layers.
SECOND_HEAD = slice(16, 32)
FIRST_LAYER = "encoder.layer.0.attention.output.dense.weight"


def merged(folder: Path) -> tuple[Encoder, JointHeads]:
    checkpoint, weights = read_checkpoint(folder)
    encoder = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    return encoder, merge(checkpoint, weights, encoder)


@pytest.fixture
def idle_head(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The tiny model with one head of the first layer that next to nothing rests on."""
    checkpoint, weights = read_checkpoint(tiny_checkpoint)
    fast = {**checkpoint.training, "speed": "fast", "root": checkpoint.version}
    checkpoint = msgspec.structs.replace(checkpoint, training=fast)
    encoder, _ = merged(tiny_checkpoint)
    output = encoder.weights[FIRST_LAYER].clone()
    output[:, SECOND_HEAD] *= 1e-4
    write_checkpoint(tmp_path / "idle", checkpoint, {**weights, f"encoder.{FIRST_LAYER}": output})
    return tmp_path / "idle"


@pytest.fixture
def examples(idle_head: Path) -> list[Example]:
    """Texts labelled with the model's own answers: whatever changes is a loss."""
    scores = score_texts(load_predictor(idle_head, device="cpu", precision="fp32"), TEXTS)
    return [
        Example(text=text, source="own", labels={"mood": (score["mood"].label,)})
        for text, score in zip(TEXTS, scores, strict=True)
    ]


def test_importance_tells_the_idle_head(idle_head: Path, examples: list[Example]) -> None:
    found = importance(*merged(idle_head), examples[:60])
    assert found.shape == (2, 2)
    assert found[0, 1] < 0.01
    assert torch.allclose(found.norm(dim=1), torch.ones(2))


def test_the_idle_head_goes_and_the_answers_stay(
    idle_head: Path, examples: list[Example], tmp_path: Path
) -> None:
    pruned = prune(
        *read_checkpoint(idle_head), tmp_path / "out", examples, MOOD, share=0.25, max_loss=0.0
    )
    assert pruned.left_out == [(0, 1)]
    assert {(way.accuracy, way.pruned) for way in pruned.ways if way.path == "packed fp32"} == {
        (1.0, False),
        (1.0, True),
    }
    assert not merged(tmp_path / "out")[0].weights[FIRST_LAYER][:, SECOND_HEAD].any()
    checkpoint, _ = read_checkpoint(tmp_path / "out")
    assert checkpoint.training["heads_left_out"] == [[0, 1]]
    assert checkpoint.training["parent"] == read_checkpoint(idle_head)[0].version
    # Fast fits go on from what was pruned, not from the root of what it was pruned from.
    assert not checkpoint.training.keys() & {"speed", "root"}
    before, after = (
        score_texts(load_predictor(folder, device="cpu", precision="fp32"), TEXTS)
        for folder in (idle_head, tmp_path / "out")
    )
    assert [one["mood"].label for one in before] == [one["mood"].label for one in after]


def test_a_model_that_loses_too_much_is_refused_and_not_written(
    idle_head: Path, examples: list[Example], tmp_path: Path
) -> None:
    with pytest.raises(EvaluateError, match=r"refused, nothing was written: .*--max-loss allows 0"):
        prune(
            *read_checkpoint(idle_head), tmp_path / "out", examples, MOOD, share=0.5, max_loss=0.0
        )
    assert not (tmp_path / "out").exists()


def test_a_loss_of_just_what_is_allowed_passes() -> None:
    whole, less, least = (
        Way(pruned, "packed fp32", accuracy, 0.0, {}, 1.0)
        for pruned, accuracy in ((False, 0.81), (True, 0.8), (True, 0.7999))
    )
    _refuse([whole, less], MOOD, 0.01)
    with pytest.raises(EvaluateError, match=r"from 0\.810 to 0\.800"):
        _refuse([whole, least], MOOD, 0.01)


def test_every_layer_keeps_a_head(idle_head: Path, examples: list[Example], tmp_path: Path) -> None:
    pruned = prune(
        *read_checkpoint(idle_head), tmp_path / "out", examples, MOOD, share=0.9, max_loss=1.0
    )
    assert sorted(layer for layer, _ in pruned.left_out) == [0, 1]


def test_too_few_texts_to_judge_by_are_refused(
    idle_head: Path, examples: list[Example], tmp_path: Path
) -> None:
    with pytest.raises(EvaluateError, match="30 labelled texts are too few"):
        prune(
            *read_checkpoint(idle_head),
            tmp_path / "out",
            examples[:30],
            MOOD,
            share=0.25,
            max_loss=1.0,
        )
