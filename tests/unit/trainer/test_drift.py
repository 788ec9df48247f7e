"""Drift is found where the stream moved, and nowhere else."""

from __future__ import annotations

import math
import random

import pytest

from trainer.drift import WINDOW, Answers, Drift, stability

LABELS = [f"topic-{n}" for n in range(13)]


def stream(
    seed: int, *, weights: list[float], sure: float = 0.7, model: str = "v1", source: str = "ticket"
) -> list[Answers]:
    draw = random.Random(seed)
    return [
        Answers(source, model, {"topic": (label, min(1.0, draw.gauss(sure, 0.1)))})
        for label in draw.choices(LABELS, weights, k=WINDOW)
    ]


EVEN = [1.0] * len(LABELS)
FLOOD = [1.0] * (len(LABELS) - 1) + [8.0]


def test_the_index_is_that_of_its_definition() -> None:
    by_hand = (0.5 - 0.8) * math.log(0.5 / 0.8) + (0.5 - 0.2) * math.log(0.5 / 0.2)
    assert stability({"a": 8, "b": 2}, {"a": 5, "b": 5}) == pytest.approx(by_hand)
    assert stability({"a": 3}, {"a": 30}) == 0


def test_chance_alone_is_no_drift() -> None:
    drift = Drift(0.25)
    found = [drift.note(stream(seed, weights=EVEN), "v1") for seed in range(20)]
    assert not any(found)
    assert {shift.of for shift in drift.shifts} == {"labels", "confidence"}


def test_a_flood_of_one_label_and_a_loss_of_confidence_are_drift() -> None:
    drift = Drift(0.25)
    drift.note(stream(1, weights=EVEN), "v1")
    (labels,) = drift.note(stream(2, weights=FLOOD), "v1")
    assert str(labels).startswith("labels of topic on ticket (0.")
    (confidence,) = drift.note(stream(3, weights=EVEN, sure=0.5), "v1")
    assert confidence.of == "confidence"
    assert drift.note(stream(4, weights=EVEN), "v1") == []
    assert drift.drifted == []


def test_less_than_a_window_says_nothing() -> None:
    drift = Drift(0.25)
    drift.note(stream(1, weights=EVEN), "v1")
    assert drift.note(stream(2, weights=FLOOD)[:-1], "v1") == []
    assert drift.shifts == []


def test_each_source_and_each_champion_has_a_reference_of_its_own() -> None:
    drift = Drift(0.25)
    drift.note(stream(1, weights=EVEN), "v1")
    assert drift.note(stream(2, weights=FLOOD, source="news"), "v1") == []
    assert drift.note(stream(3, weights=FLOOD, model="v2"), "v1") == []
    assert drift.note(stream(4, weights=FLOOD, model="v2"), "v2") == []
    assert drift.note(stream(5, weights=FLOOD, model="v2"), "v2") == []


def test_a_bound_of_zero_never_finds_any() -> None:
    drift = Drift(0.0)
    drift.note(stream(1, weights=EVEN), "v1")
    assert drift.note(stream(2, weights=FLOOD), "v1") == []
