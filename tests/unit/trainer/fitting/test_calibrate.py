"""Calibration finds the temperature that data was made with, and abstains where errors are."""

from __future__ import annotations

import pytest
import torch

from models.heads import MISSING
from models.spec import Calibration, Head
from trainer.evaluate import calibration_error
from trainer.fitting.calibrate import (
    calibrate,
    in_words,
    renewed,
    unseen_confidences,
    why_kept,
)

HEAD = Head(name="mood", labels=("a", "b", "c"))


def drawn(temperature: float, n: int = 6_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and targets drawn with the probabilities of logits / temperature."""
    draw = torch.Generator().manual_seed(4)
    logits = 4 * torch.randn(n, 3, generator=draw)
    return logits, torch.multinomial((logits / temperature).softmax(1), 1, generator=draw)[:, 0]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_the_one_the_targets_were_drawn_with(temperature):
    assert calibrate(HEAD, *drawn(temperature)).calibration.temperature == pytest.approx(
        temperature, rel=0.05
    )


def test_accepted_answers_are_nearly_all_right():
    logits, targets = drawn(0.7)
    head = calibrate(HEAD, logits, targets).calibration
    confidence, answers = (logits / head.temperature).softmax(1).max(1)
    accepted = confidence >= head.abstain_below
    assert 0.6 <= accepted.float().mean() < 1.0
    assert (answers == targets)[accepted].float().mean() == pytest.approx(0.95, abs=0.01)


def test_hopeless_head_still_answers_most_texts():
    logits, targets = drawn(1.0)
    head = calibrate(HEAD, logits, targets[torch.randperm(len(targets))]).calibration
    confidence = (logits / head.temperature).softmax(1).amax(1)
    assert (confidence >= head.abstain_below).float().mean() == pytest.approx(0.6, abs=0.02)


def test_texts_without_a_label_have_no_say():
    logits, targets = drawn(2.0)
    half = torch.cat([targets, torch.full_like(targets, MISSING)])
    assert calibrate(HEAD, torch.cat([logits, logits]), half) == calibrate(HEAD, logits, targets)
    assert calibrate(HEAD, logits, torch.full_like(targets, MISSING)) == HEAD


def test_kind_of_source_with_enough_text_has_its_own_calibration():
    hot, cool = drawn(3.0, 500), drawn(0.5, 500)
    logits, targets = (torch.cat(parts) for parts in zip(hot, cool, strict=True))
    kinds = ["news"] * 500 + ["ticket"] * 440 + ["social"] * 60
    head = calibrate(HEAD, logits, targets, kinds)
    assert head.by_kind.keys() == {"news", "ticket"}
    assert head.calibrated_for("news").temperature == pytest.approx(3.0, rel=0.2)
    assert head.calibrated_for("ticket").temperature == pytest.approx(0.5, rel=0.2)
    assert head.calibrated_for("social") == head.calibration


def test_a_few_faultless_texts_do_not_make_a_head_sure_of_everything():
    logits = torch.tensor([[2.0, 0.0, 0.0]] * 10)
    few = calibrate(HEAD, logits, torch.zeros(10, dtype=torch.long)).calibration
    assert 0.5 < few.temperature < 1.0
    many = calibrate(HEAD, logits.repeat(100, 1), torch.zeros(1_000, dtype=torch.long)).calibration
    assert many.temperature < 0.4


def test_few_texts_do_not_show_that_doubtful_answers_may_be_given():
    logits = torch.tensor([[4.0 - at / 4, 0.0, 0.0] for at in range(10)])
    targets = torch.zeros(10, dtype=torch.long)
    few = calibrate(HEAD, logits, targets).calibration
    confidence = (logits / few.temperature).softmax(1).amax(1)
    assert int((confidence >= few.abstain_below).sum()) == 6
    often = calibrate(HEAD, logits.repeat(5, 1), targets.repeat(5)).calibration
    confidence = (logits / often.temperature).softmax(1).amax(1)
    assert int((confidence >= often.abstain_below).sum()) == 10


def test_confidence_is_judged_on_texts_that_did_not_set_it():
    # Twelve right answers of nearly one confidence, one of them wrong.
    logits, targets = torch.tensor([[1.0, 0.0, 0.0]] * 12), torch.zeros(12, dtype=torch.long)
    targets[3] = 1
    unseen = unseen_confidences(HEAD, logits, targets, [""] * 12)
    own = calibrate(HEAD, logits, targets).calibration.temperature
    seen = (logits / own).softmax(1).amax(1).tolist()
    assert len(set(unseen)) > 1
    right = (targets == 0).tolist()
    assert calibration_error(unseen, right) > calibration_error(seen, right)


def test_each_kind_is_judged_by_the_calibration_of_its_kind():
    hot, cool = drawn(3.0, 500), drawn(0.5, 500)
    logits, targets = (torch.cat(parts) for parts in zip(hot, cool, strict=True))
    unseen = torch.tensor(
        unseen_confidences(HEAD, logits, targets, ["news"] * 500 + ["ticket"] * 500)
    )
    plain = logits.softmax(1).amax(1)
    assert unseen[:500].mean() < plain[:500].mean() - 0.1
    assert unseen[500:].mean() > plain[500:].mean() + 0.02


EASY = torch.tensor([[4.0, 0.0, 0.0]] * 50), torch.zeros(50, dtype=torch.long)
FORMER = Head(
    name="mood",
    labels=HEAD.labels,
    calibration=Calibration(1.0, 0.8),
    by_kind={"news": Calibration(1.2, 0.85), "social": Calibration(0.5, 0.9)},
)


@pytest.mark.parametrize(
    ("former", "kind", "texts", "new"),
    [
        # Too few of one kind; so many that it has its own; no word of a kind.
        (FORMER, "social", 50, {"news": "kept", "social": "kept", "other": "kept"}),
        (FORMER, "social", 80, {"news": "kept", "social": "new", "other": "kept"}),
        (FORMER, "", 500, {"news": "kept", "social": "kept", "other": "kept"}),
        (
            Head(name="mood", labels=HEAD.labels, calibration=Calibration(2.0, 0.9)),
            "ticket",
            50,
            {"other": "kept"},
        ),
        (
            Head(name="mood", labels=HEAD.labels, calibration=Calibration(2.0, 0.9)),
            "",
            50,
            {"other": "new"},
        ),
        (None, "ticket", 80, {"ticket": "new", "other": "new"}),
    ],
)
def test_easy_texts_make_no_head_less_strict_on_kinds_that_they_are_not_of(
    former, kind, texts, new
):
    logits, targets = (part.repeat(10, *([1] * (part.dim() - 1)))[:texts] for part in EASY)
    fresh = calibrate(HEAD, logits, targets, [kind] * texts)
    head = calibrate(HEAD, logits, targets, [kind] * texts, former=former)
    assert renewed(head, former, [kind] * texts) == new
    for source, said in new.items():
        own = head.calibrated_for(source)
        if said == "new":
            assert own == fresh.calibrated_for(source)
        else:
            before = former.calibrated_for(source)
            assert own.temperature == max(before.temperature, fresh.calibration.temperature)
            assert own.abstain_below == max(before.abstain_below, fresh.calibration.abstain_below)


def test_texts_that_did_not_set_the_calibration_are_judged_beside_the_former_one():
    logits, targets = EASY
    kinds = ["news"] * 50
    alone, beside = (
        unseen_confidences(HEAD, logits, targets, kinds, former=former) for former in (None, FORMER)
    )
    assert max(beside) < min(alone)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"other": "new"}, "set by the validation texts for every source"),
        (
            {"news": "kept", "social": "kept", "other": "kept"},
            "as before or stricter for news, social and any other source",
        ),
        (
            {"news": "new", "other": "kept"},
            "set by the validation texts for news; as before or stricter for any other source",
        ),
    ],
)
def test_what_is_new_of_a_calibration_is_said_in_plain_words(said, words):
    assert in_words(said) == words
    assert ("kept" in said.values()) == bool(why_kept(said))
