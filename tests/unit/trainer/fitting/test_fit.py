"""A fit learns, is repeatable, changes only what its method says, and survives its checkpoint."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from models.checkpoint import merge, read_checkpoint, write_checkpoint
from models.description import Checkpoint
from models.encoder import Encoder, load_encoder
from models.heads import JointHeads
from models.spec import Head
from tests.tiny_model import write_tiny_encoder
from trainer.data.dataset import Example
from trainer.errors import FitError
from trainer.fitting.batches import Texts
from trainer.fitting.config import FitConfig
from trainer.fitting.fit import Watch, _chosen, fit
from trainer.fitting.learner import Advice, Learner
from trainer.fitting.measure import Epoch, pooled_vectors

HEADS = (Head(name="mood", labels=("bad", "good")), Head(name="place", labels=("sea", "town")))
WORDS = {"bad": ("broke", "lost", "late"), "good": ("shines", "works", "won")}
FAST = FitConfig(
    method="heads",
    epochs=6,
    batch_size=8,
    max_tokens=16,
    head_rate=0.05,
    encoder_rate=1e-3,
    bf16=False,
    dropout=0.0,
)


def examples(source: str = "here") -> list[Example]:
    things = ("ferry", "radio", "engine", "lamp", "kettle")
    return [
        Example(f"the {thing} {word}", source, {"mood": (mood,)})
        for mood, words in WORDS.items()
        for word in words
        for thing in things
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def encoder(folder: Path) -> Encoder:
    return load_encoder(str(folder))


def run(encoder: Encoder, **changes: object) -> tuple[list[Epoch], dict[str, torch.Tensor]]:
    seen: list[Epoch] = []
    config = dataclasses.replace(FAST, **changes)
    fitted = fit(
        encoder, HEADS, examples(), examples("held out"), config, watch=Watch(epoch=seen.append)
    )
    assert fitted.epochs == seen
    return seen, fitted.weights


@pytest.mark.parametrize("method", ["heads", "lora", "full"])
def test_every_method_learns_what_is_plain_to_see(encoder, method):
    epochs, _ = run(encoder, method=method)
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert epochs[-1].train_loss < epochs[0].train_loss
    assert epochs[-1].val_loss < epochs[0].val_loss
    assert epochs[-1].accuracy["mood"] > 0.8


def test_report_line_has_losses_and_accuracy():
    line = str(Epoch(2, 0.51234, 0.6, {"mood": 0.75, "place": 0.5}))
    assert line == (
        "epoch 2: train loss 0.5123, val loss 0.6000, val accuracy mood 0.750, place 0.500"
    )


@pytest.mark.parametrize(("method", "differs"), [("heads", False), ("lora", True), ("full", True)])
def test_dropout_in_the_encoder_matters_where_it_learns(folder, method, differs):
    plain, dropping = (
        run(load_encoder(str(folder)), method=method, epochs=1, encoder_dropout=share)[1]
        for share in (0.0, 0.3)
    )
    assert torch.equal(plain["heads.weight"], dropping["heads.weight"]) != differs


def test_head_without_labels_has_no_accuracy(encoder):
    epochs, _ = run(encoder, epochs=1)
    assert epochs[0].accuracy.keys() == {"mood"}


def test_same_seed_gives_the_same_weights_and_another_does_not(folder):
    runs = [
        run(load_encoder(str(folder)), method="lora", epochs=1, seed=seed)[1] for seed in (1, 1, 2)
    ]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["heads.weight"], runs[2]["heads.weight"])


@pytest.mark.parametrize(
    ("method", "prefixes"),
    [("heads", {"heads"}), ("lora", {"heads", "low_rank"}), ("full", {"heads", "encoder"})],
)
def test_weights_hold_what_the_method_may_change(encoder, method, prefixes):
    _, weights = run(encoder, method=method, epochs=1)
    assert {name.split(".")[0] for name in weights} == prefixes
    assert not any("pooler" in name for name in weights)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_checkpoint_gives_back_the_fitted_encoder(tmp_path, folder, encoder, method):
    fingerprint = encoder.fingerprint()
    _, weights = run(encoder, method=method)
    checkpoint = Checkpoint(
        name="new", encoder=str(folder), encoder_fingerprint=fingerprint, max_tokens=32, heads=HEADS
    )
    write_checkpoint(tmp_path / "new", checkpoint, weights)
    merged = load_encoder(str(folder))
    merge(*read_checkpoint(tmp_path / "new"), merged)
    tokens = merged.tokenize([example.text for example in examples()])
    expected, plain = (
        pooled_vectors(other, tokens) for other in (encoder, load_encoder(str(folder)))
    )
    # Low-rank factors are stored in float16.
    torch.testing.assert_close(pooled_vectors(merged, tokens), expected, atol=5e-3, rtol=0)
    assert (plain - expected).abs().max() > 0.05


def test_a_fit_that_diverges_says_so_and_keeps_nothing(encoder, tmp_path):
    config = dataclasses.replace(FAST, method="heads", weight_decay=1e30)
    file = tmp_path / "state"
    with pytest.raises(FitError, match=r"diverged in epoch 1.*lower --rate"):
        fit(encoder, HEADS, examples(), examples("held out"), config, state_file=file)
    assert not file.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"warmup_share": 1.0},
        {"class_balance": math.nan},
        {"encoder_dropout": 1.0},
        {"weight_decay": math.inf},
    ],
)
def test_impossible_configuration_is_refused(change):
    with pytest.raises(FitError, match=next(iter(change))):
        dataclasses.replace(FAST, **change)


def test_a_specialist_is_heard_beside_the_labels(folder):
    """It says the opposite of every label, so sure of itself that a fit can't hold both."""

    def doubt(advice: Advice | None) -> float:
        encoder = load_encoder(str(folder))
        known = JointHeads(HEADS, encoder.hidden)
        config = dataclasses.replace(FAST, method="full", keep_weight=3.0)
        texts = examples()
        fitted = fit(encoder, HEADS, texts, texts, config, known=known, advice=advice)
        return fitted.chosen.accuracy["mood"]

    opposite = torch.tensor(
        [[-9.0, 9.0] if "bad" in e.labels["mood"] else [9.0, -9.0] for e in examples()]
    )
    assert doubt(None) > 0.9
    assert doubt(Advice([*range(len(opposite))], {"mood": opposite})) < 0.7
    assert doubt(Advice([], {"mood": opposite[:0]})) > 0.9


@pytest.mark.parametrize(
    ("accuracies", "texts", "kept"),
    [
        ((0.80, 0.84, 0.83), 100, 3),  # a standard error is 0.037
        ((0.80, 0.84, 0.83), 10_000, 2),  # here it is 0.0037
        ((0.80, 0.90, 0.84, 0.85), 100, 2),
        ((0.50, 0.60, 0.99, 1.00), 100, 4),
    ],
)
def test_the_latest_epoch_that_is_as_good_as_the_best_is_kept(accuracies, texts, kept):
    epochs = [Epoch(at, 0.1, 0.1, {"mood": one}) for at, one in enumerate(accuracies, start=1)]
    assert _chosen(epochs, texts).number == kept


def test_a_new_head_starts_where_a_probe_of_the_encoder_ends(folder):
    encoder = load_encoder(str(folder))
    known = JointHeads(HEADS[1:], encoder.hidden)
    config = dataclasses.replace(FAST, method="full")
    texts = Texts(examples(), encoder, HEADS, config.max_tokens)
    learner = Learner(
        encoder, texts, HEADS, config, known=known, teacher=None, advice=None, steps=1
    )
    with torch.inference_mode():
        answers = learner.joint(pooled_vectors(encoder, texts.tokens))
    right = answers["mood"].argmax(dim=1) == torch.tensor(texts.targets["mood"])
    assert right.all()
    (_, place) = learner.joint.rows()[1]
    assert torch.equal(learner.joint.linear.weight[place], known.linear.weight)
