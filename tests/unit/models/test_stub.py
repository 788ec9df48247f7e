"""The stub answers what the text asks for and fails when told, so that tests can rely on it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from models.spec import DEFAULT_HEADS, ModelError, OutOfMemoryError, Predictor
from models.stub import StubPredictor


def test_answers_are_the_labels_written_in_the_text():
    stub: Predictor = StubPredictor()
    (scores,) = stub.predict(stub.tokenize(["Negative! about cards, risk high"]))
    assert {name: score.label for name, score in scores.items()} == {
        "sentiment": "negative",
        "topic": "cards",
        "risk": "high",
    }


def test_every_head_answers_every_text_with_probabilities():
    stub = StubPredictor()
    texts = ["one", "", "a longer text with nothing to say", "one"]
    scores = stub.predict(stub.tokenize(texts))
    assert scores[0] == scores[3]
    for row in scores:
        for head in DEFAULT_HEADS:
            answer = row[head.name]
            assert tuple(answer.scores) == head.labels
            assert sum(answer.scores.values()) == pytest.approx(1.0)
            assert answer.label in head.labels
            assert answer.confidence == answer.scores[answer.label] == max(answer.scores.values())
            assert not answer.abstained


def test_doubt_in_the_text_makes_every_head_abstain():
    stub = StubPredictor()
    (scores,) = stub.predict(stub.tokenize(["unsure about this one"]))
    assert all(score.abstained and score.confidence == 0.4 for score in scores.values())


def test_fails_only_on_batches_with_the_marker():
    stub = StubPredictor(fail_on="poison")
    assert stub.predict(stub.tokenize(["fine"]))
    with pytest.raises(ModelError):
        stub.predict(stub.tokenize(["fine", "some poison."]))


def test_memory_ends_above_the_given_number_of_texts():
    stub = StubPredictor(max_texts=2)
    assert len(stub.predict(stub.tokenize(["a", "b"]))) == 2
    with pytest.raises(OutOfMemoryError):
        stub.predict(stub.tokenize(["a", "b", "c"]))


def test_needs_no_torch():
    code = "import sys, models.stub; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
