"""Drift is found where the stream moved, and nowhere else."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from trainer.promotion.drift import WINDOW, Answers, Drift, Seen, stability

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


def test_what_a_deep_fit_was_tried_for_counts_again_when_it_has_grown_or_come_back() -> None:
    more = [1.0] * (len(LABELS) - 1) + [40.0]
    drift = Drift(0.25)
    drift.note(stream(1, weights=EVEN), "v1")
    drift.note(stream(2, weights=FLOOD), "v1")
    assert drift.untried == drift.drifted == drift.note_tried()
    assert drift.untried == []
    drift.note(stream(3, weights=FLOOD), "v1")
    assert drift.drifted
    assert drift.untried == []
    drift.note(stream(4, weights=more), "v1")
    (grown,) = drift.untried
    assert grown.distance > 0.5
    drift.note_tried()
    drift.note(stream(5, weights=EVEN), "v1")
    assert drift.drifted == []
    drift.note(stream(6, weights=FLOOD), "v1")
    assert len(drift.untried) == 1
    drift.note_tried()
    drift.note(stream(7, weights=FLOOD, sure=0.4), "v1")
    assert [shift.of for shift in drift.untried] == ["confidence"]


def test_what_is_remembered_goes_on_as_if_nothing_had_happened() -> None:
    whole, first = Drift(0.25), Drift(0.25)
    answers = [*stream(1, weights=EVEN), *stream(2, weights=FLOOD), *stream(3, weights=FLOOD)]
    for one in (whole, first):
        one.note(answers[:1_700], "v1")
    later = Drift(0.25, msgspec.json.decode(msgspec.json.encode(first.seen), type=Seen))
    assert later.note(answers[1_700:], "v1") == whole.note(answers[1_700:], "v1") != []
    assert later.shifts == whole.shifts
