"""Figures are those of the definitions, worked out by hand."""

from __future__ import annotations

import pytest

from models.spec import RISK, Calibration, Head
from models.stub import StubPredictor
from trainer.data.dataset import Example
from trainer.data.labelled_file import LabelledFile
from trainer.errors import DatasetError, EvaluateError
from trainer.evaluate import (
    ECE_BINS,
    calibration_error,
    evaluate,
    evaluate_examples,
    evaluate_file,
    reliability,
    score_texts,
)

LABELS = ("a", "b", "c")


def test_figures_of_a_hand_worked_table():
    expected = [("a",), ("a",), ("b",), ("b",)]
    figures = evaluate(
        LABELS, expected, [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.0, 1.0, 0.0], [0.0, 0.3, 0.7]]
    )
    assert figures["n"] == 4
    assert figures["accuracy"] == 0.5
    assert figures["confusion"] == {"a": {"a": 1, "b": 1}, "b": {"b": 1, "c": 1}}
    assert figures["per_label"]["a"] == {
        "n": 2,
        "precision": 1.0,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
    }
    assert figures["per_label"]["b"]["f1"] == 0.5
    assert figures["per_label"]["c"] == {"n": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0}
    # Over the truths a and b alone: c never was the truth.
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_any_acceptable_label_counts_as_right():
    figures = evaluate(LABELS, [("a", "b"), ("a", "b")], [[0.1, 0.9, 0.0], [0.1, 0.2, 0.7]])
    assert figures["accuracy"] == 0.5
    assert figures["confusion"] == {"b": {"b": 1}, "a": {"c": 1}}


def test_calibration_error_is_the_weighted_gap_of_each_bin():
    assert calibration_error([0.95, 0.95, 0.5], [True, False, True]) == pytest.approx(
        (abs(1.9 - 1) + abs(0.5 - 1)) / 3
    )


def test_the_bins_of_a_reliability_diagram_are_fifteen():
    bins = reliability([0.95, 0.97, 0.5], [True, False, True])
    assert len(bins) == ECE_BINS
    assert bins[-1] == {"n": 2, "confidence": 0.96, "accuracy": 0.5}
    assert bins[7] == {"n": 1, "confidence": 0.5, "accuracy": 1.0}
    assert bins[0] == {"n": 0, "confidence": None, "accuracy": None}
    assert sum(one["n"] for one in bins) == 3
    assert evaluate(LABELS, [("a",)], [[0.9, 0.1, 0.0]])["reliability"][13]["n"] == 1


def test_full_confidence_is_in_the_last_bin():
    assert calibration_error([1.0, 0.99], [True, True]) == pytest.approx(0.005)


def test_texts_of_mixed_lengths_are_scored_in_their_order():
    texts = ["cards " + "word " * (n % 7 * 15) for n in range(90)] + ["fraud_security"] * 3
    labels = [scores["topic"].label for scores in score_texts(StubPredictor(), texts)]
    assert labels == ["cards"] * 90 + ["fraud_security"] * 3


class Scored(dict):
    """Scores that are counted while they live."""

    alive = 0

    def __init__(self, scores):
        super().__init__(scores)
        Scored.alive += 1

    def __del__(self):
        Scored.alive -= 1


def test_scores_are_let_go_of_once_the_head_asked_for_is_read(monkeypatch):
    most = []

    class Counting(StubPredictor):
        def predict(self, tokens, kinds=()):
            most.append(Scored.alive)
            return [Scored(one) for one in super().predict(tokens, kinds)]

    monkeypatch.setattr("trainer.evaluate.MAX_BATCH_TOKENS", 30)
    predictor = Counting()
    risk = next(head for head in predictor.heads if head.name == "risk")
    examples = [Example("low to the end", "here", {"risk": ("low",)})] * 100
    assert evaluate_examples(predictor, examples, risk)["accuracy"] == 1.0
    assert len(most) > 10
    assert max(most) < 10


def test_batches_stay_within_their_budget():
    sizes = []

    class Watched(StubPredictor):
        def predict(self, tokens, kinds=()):
            sizes.append(len(tokens) * max(map(len, tokens)))
            return super().predict(tokens, kinds)

    score_texts(Watched(), ["word " * (1 + n % 100) for n in range(500)])
    assert max(sizes) <= 4096
    assert len(sizes) < 20


def test_file_is_judged_by_the_head_asked_for(tmp_path):
    file = tmp_path / "reviews.tsv"
    file.write_text("text\tlabel\nhigh\thigh\nlow but not so\tlow\nhigh after all\tmedium\n")
    figures = evaluate_file(StubPredictor(), LabelledFile(file), "risk")
    assert figures.keys() == {
        "n",
        "accuracy",
        "macro_f1",
        "ece",
        "per_label",
        "confusion",
        "reliability",
        "answered",
        "wrong_among_answered",
        "by_source",
    }
    assert (figures["n"], figures["accuracy"]) == (3, pytest.approx(2 / 3))
    assert figures["ece"] == pytest.approx(abs(0.9 - 2 / 3))


def test_what_is_answered_and_how_much_of_it_is_wrong_is_told_by_source():
    # The stub says the label that stands in the text, and abstains where it is unsure.
    texts = [
        ("high a", "high", "ticket"),
        ("high b", "low", "ticket"),
        ("high unsure c", "low", "ticket"),
        ("low d", "low", "ticket"),
        ("low unsure e", "low", "news"),
        ("low f", "low", ""),
    ]
    examples = [Example(text, "own", {"risk": (right,)}, kind) for text, right, kind in texts]
    figures = evaluate_examples(StubPredictor(), examples, Head(name="risk", labels=RISK))
    assert figures["answered"] == pytest.approx(4 / 6)
    assert figures["wrong_among_answered"] == pytest.approx(1 / 4)
    assert figures["by_source"] == {
        "news": {"n": 1, "accuracy": 1.0, "answered": 0.0, "wrong_among_answered": None},
        "ticket": {
            "n": 4,
            "accuracy": 0.5,
            "answered": 0.75,
            "wrong_among_answered": pytest.approx(1 / 3),
        },
    }


@pytest.mark.parametrize(("column", "told"), [("source", False), ("channel", True)])
def test_a_file_without_sources_is_not_judged_as_the_stream_would(tmp_path, column, told):
    head = Head(name="risk", labels=RISK, by_kind={"ticket": Calibration()})
    file = tmp_path / "reviews.tsv"
    file.write_text(f"text\tlabel\t{column}\nhigh\thigh\tticket\n")
    said = []
    evaluate_file(StubPredictor(heads=[head]), LabelledFile(file), "risk", say=said.append)
    assert any("no row names its source" in remark for remark in said) == told


def test_file_with_foreign_labels_is_judged_through_a_mapping(tmp_path):
    (tmp_path / "reviews.tsv").write_text("text\tlabel\nhigh\tsevere\n")
    (tmp_path / "map.json").write_text('{"severe": "high"}')
    figures = evaluate_file(
        StubPredictor(),
        LabelledFile(tmp_path / "reviews.tsv", mapping=tmp_path / "map.json"),
        "risk",
    )
    assert figures["accuracy"] == 1.0


def test_unknown_head_lists_those_there_are(tmp_path):
    with pytest.raises(EvaluateError, match=r"--head mood: .* only sentiment, topic, risk"):
        evaluate_file(StubPredictor(), LabelledFile(tmp_path / "reviews.tsv"), "mood")


def test_rows_left_out_are_told_and_a_file_of_nothing_else_is_refused(tmp_path):
    file = tmp_path / "reviews.tsv"
    file.write_text("text\tlabel\nhigh\thigh\nlow\t\n\tlow\n")
    said = []
    assert evaluate_file(StubPredictor(), LabelledFile(file), "risk", say=said.append)["n"] == 1
    assert said == ["1 rows without a text are left out", "1 rows without a label are left out"]
    file.write_text("text\tlabel\n")
    with pytest.raises(EvaluateError, match="holds no labelled text"):
        evaluate_file(StubPredictor(), LabelledFile(file), "risk")


def test_foreign_labels_without_a_mapping_are_refused(tmp_path):
    (tmp_path / "reviews.tsv").write_text("text\tlabel\nbad\tawful\n")
    with pytest.raises(DatasetError, match=r"label 'awful' is none of head 'risk'.*--mapping"):
        evaluate_file(StubPredictor(), LabelledFile(tmp_path / "reviews.tsv"), "risk")
