"""The command that rebuilds the shipped checkpoint, on a small encoder and a handful of texts."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from models.checkpoint import read_checkpoint
from models.predictor import load_predictor
from tests.tiny_model import write_tiny_encoder
from trainer.base import build as base
from trainer.base.figures import ZERO_SHOT

OURS = {
    "sentiment": ("negative", "neutral", "positive"),
    "topic": ("cards", "earnings", "other"),
    "risk": ("low", "medium", "high"),
}
TEXTS = 6


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every public set by name, in a few sentences, and the mappings beside them."""
    folder = tmp_path / "data"
    folder.mkdir()
    sets = {**base.SETS, **{name: (head,) for name, head in ZERO_SHOT.items()}}
    for name in sets:
        rows = [
            {"text": f"{name} says {label} of the {thing}", "label": label, "source": "news"}
            for thing in ("lift", "bridge", "harbour", "kiosk", "mill", "ferry", "stall", "barn")
            for label in ("0", "1", "2")
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    maps = {
        head: {name: dict(zip("012", labels, strict=True)) for name in sets if head in sets[name]}
        for head, labels in OURS.items()
    }
    (folder / "mappings.json").write_text(json.dumps(maps))
    return folder


@pytest.fixture
def _small_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the default one, whatever loads it: the recipe is the same, and a tenth."""
    folder = str(write_tiny_encoder(tmp_path / "encoder"))
    monkeypatch.setattr("models.encoder._place", lambda _: (folder, True))


@pytest.mark.usefixtures("_small_encoder")
@pytest.mark.timeout(300)
def test_stages_become_one_checkpoint_and_finished_ones_are_not_fitted_again(
    data, tmp_path, monkeypatch, capsys
):
    quick = [
        dataclasses.replace(stage, config=dataclasses.replace(stage.config, epochs=1))
        for stage in base.STAGES
    ]
    monkeypatch.setattr(base, "STAGES", quick)
    output = tmp_path / "out" / "base"
    base.main(["--data", str(data), "--output", str(output), "--texts", str(TEXTS)])
    names = sorted(folder.name for folder in output.parent.iterdir())
    made = ["average", *(stage.name for stage in quick)]
    assert names == sorted(["base", *(f"base.{name}" for name in made)])

    checkpoint, weights = read_checkpoint(output)
    assert checkpoint.training["average"] == {"advised": 0.3, "own": 0.7}
    assert checkpoint.training["texts"]["news"] == TEXTS
    assert set(checkpoint.metrics["zero shot"]) == {
        f"{name} {head}" for name, head in ZERO_SHOT.items()
    }
    specialist = read_checkpoint(output.with_name("base.feeds"))[0]
    assert set(specialist.training["texts"]) == set(base.FEEDS)
    served = load_predictor(output)
    assert served.predict(served.tokenize(["it broke"]))[0].keys() == set(OURS)

    before = read_checkpoint(output.with_name("base.average"))[1]["heads.weight"]
    assert not before.equal(read_checkpoint(output.with_name("base.own"))[1]["heads.weight"])
    # The risk head is the last one, and alone learns the urgent sentences.
    taught = weights["heads.weight"]
    assert taught[:-3].equal(before[:-3])
    assert not taught[-3:].equal(before[-3:])

    capsys.readouterr()
    output.rename(tmp_path / "before")
    for stage in quick:  # an average needs none of those before it
        shutil.rmtree(output.with_name(f"base.{stage.name}"))
    base.main(["--data", str(data), "--output", str(output), "--texts", str(TEXTS)])
    assert "epoch" not in capsys.readouterr().out
    assert read_checkpoint(output)[1]["heads.weight"].equal(weights["heads.weight"])
