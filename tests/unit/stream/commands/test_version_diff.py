"""`models diff` compares what a person compares, in rows no wider than their values."""

from __future__ import annotations

from typing import Any

import msgspec

from models.description import Checkpoint
from models.spec import Calibration, Head
from stream.commands.version_diff import compared, differences

EMPTY = {"n": 0, "confidence": None, "accuracy": None}
QUEUE = Head(
    name="queue",
    labels=("cards", "loans"),
    calibration=Calibration(1.2, 0.8),
    by_kind={"ticket": Calibration(1.1, 0.7)},
)
MOOD = Head(name="mood", labels=("bad", "good"))
BEFORE = Checkpoint(
    name="v1",
    version="v1-0",
    encoder="e",
    encoder_fingerprint="f",
    max_tokens=128,
    heads=(MOOD, QUEUE),
    weights_sha256="a" * 64,
    training={
        "parent": "base-1",
        "config": {"method": "heads", "epochs": 30, "head_rate": 0.005},
        "texts": {"queue": 378},
        "epochs": [{"number": 1, "train_loss": 1.1538}],
    },
    metrics={
        "reliability": {
            "queue": [
                EMPTY,
                {"n": 10, "confidence": 0.6, "accuracy": 0.5},
                {"n": 30, "confidence": 0.9, "accuracy": 1.0},
            ]
        },
        "verdict": {"promoted": True, "reasons": ["better"]},
    },
)


def changed(**fields: Any) -> dict[str, tuple[str, str]]:
    after = msgspec.structs.replace(BEFORE, **fields)
    return {row["field"]: (row["before"], row["after"]) for row in compared(BEFORE, after)}


def test_equal_versions_have_no_rows() -> None:
    assert changed(version="v1-1", name="v2") == {}


def test_a_head_is_compared_by_its_figures_labels_and_thresholds() -> None:
    queue = Head(
        name="queue",
        labels=("cards", "fees", "fraud"),
        calibration=Calibration(1.2, 0.85),
        by_kind={"ticket": Calibration(1.1, 0.75), "news": Calibration(1.0, 0.9)},
    )
    bins = [EMPTY, {"n": 50, "confidence": 0.91, "accuracy": 0.96}, EMPTY]
    assert changed(heads=(MOOD, queue), metrics={"reliability": {"queue": bins}}) == {
        "queue: labels": ("2", "3"),
        "queue: labels that the other lacks": ("loans", "fees, fraud"),
        "queue: judged by texts": ("40", "50"),
        "queue: accuracy": ("0.875", "0.960"),
        "queue: calibration error": ("0.100", "0.050"),
        "queue: abstains below": ("0.8", "0.85"),
        "queue: abstains below, ticket": ("0.7", "0.75"),
        "queue: temperature, news": ("", "1"),
        "queue: abstains below, news": ("", "0.9"),
    }


def test_a_head_that_only_one_has_stands_there_alone() -> None:
    rows = changed(heads=(QUEUE,))
    assert rows["mood: labels"] == ("2", "")
    assert all(field.startswith("mood: ") for field in rows)


def test_only_settings_that_differ_are_told_each_in_its_row() -> None:
    training = {
        "parent": "base-1",
        "config": {"method": "heads", "epochs": 6, "head_rate": 0.005},
        "texts": {"queue": 378, "more": 5},
        "data_sha256": "0123456789abcdef",
        "epochs": [{"number": 1, "train_loss": 0.3}] * 6,
        "read_up_to": {"0": 7},
    }
    assert changed(training=training, weights_sha256="b" * 64) == {
        "training epochs": ("30", "6"),
        "training texts: more": ("", "5"),
        "training data_sha256": ("", "0123456789ab"),
        "weights_sha256": ("a" * 12, "b" * 12),
    }


def test_machines_are_told_every_field() -> None:
    before = {"name": "a", "training": {"config": {"rate": 1, "seed": 2}, "texts": 5}}
    after = {"name": "a", "training": {"texts": 6, "epochs": [1]}}
    assert list(differences(before, after)) == [
        {"field": "training.config.rate", "before": 1, "after": None},
        {"field": "training.config.seed", "before": 2, "after": None},
        {"field": "training.epochs", "before": None, "after": [1]},
        {"field": "training.texts", "before": 5, "after": 6},
    ]
