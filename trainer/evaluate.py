"""How good a head is: accuracy, macro F1, calibration error, per label and confusion."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from models.spec import Head, HeadScore, Predictor, Scores
from stream.names import SOURCE_KINDS
from trainer.data.dataset import Example
from trainer.data.labelled_file import LabelledFile, read_labelled
from trainer.errors import EvaluateError

T = TypeVar("T")

ECE_BINS = 15
MAX_BATCH_TOKENS = 4096
TOKENISED_TOGETHER = 10_000


def evaluate_file(
    predictor: Predictor,
    file: LabelledFile,
    head: str,
    *,
    say: Callable[[str], None] = lambda _remark: None,
) -> dict[str, Any]:
    """One head's figures on a labelled file; the keys are those of evaluate_examples().

    The file is read by read_labelled(); say is told what a person should know of it. Raises
    EvaluateError or DatasetError.
    """
    spec = find_head(predictor.heads, head)
    examples, remarks = read_labelled(file, spec)
    for remark in remarks:
        say(remark)
    if spec.by_kind and not any(example.kind for example in examples):
        say(
            f"no row names its source ({', '.join(SOURCE_KINDS)}): the thresholds are the general "
            "ones, not those that the stream takes for a source"
        )
    return evaluate_examples(predictor, require_examples(examples, file.path), spec)


def require_examples(examples: Sequence[Example], path: Path) -> Sequence[Example]:
    """The same, or EvaluateError where the file of that path gave none."""
    if not examples:
        raise EvaluateError(f"{path}: holds no labelled text; give a file with at least one row")
    return examples


def evaluate_examples(
    predictor: Predictor, examples: Sequence[Example], head: Head
) -> dict[str, Any]:
    """One head's figures on examples that all have a label for it: evaluate() and answering().

    by_source has n, accuracy and answering() for each kind of source that examples name.
    """

    def said(scores: Scores) -> tuple[HeadScore, array[float]]:
        own = scores[head.name]
        return msgspec.structs.replace(own, scores={}), array("d", own.scores.values())

    told = map_scores(
        predictor,
        [example.text for example in examples],
        [example.kind for example in examples],
        of=said,
    )
    answers = [answer for answer, _ in told]
    expected = [example.labels[head.name] for example in examples]
    figures = evaluate(head.labels, expected, [probabilities for _, probabilities in told])
    by_source = {}
    for kind in sorted({example.kind for example in examples} - {""}):
        own = [at for at, example in enumerate(examples) if example.kind == kind]
        by_source[kind] = _of_source([answers[at] for at in own], [expected[at] for at in own])
    return figures | answering(answers, expected) | {"by_source": by_source}


def answering(
    answers: Sequence[HeadScore], expected: Sequence[Sequence[str]]
) -> dict[str, float | None]:
    """What abstaining does: answered and wrong_among_answered, None where nothing is answered.

    They are what is called coverage and selective risk (El-Yaniv and Wiener 2010, "On the
    Foundations of Noise-free Selective Classification").
    """
    right = [
        answer.label in labels
        for answer, labels in zip(answers, expected, strict=True)
        if not answer.abstained
    ]
    return {
        "answered": len(right) / len(answers),
        "wrong_among_answered": right.count(False) / len(right) if right else None,
    }


def _of_source(
    answers: Sequence[HeadScore], expected: Sequence[Sequence[str]]
) -> dict[str, float | None]:
    right = [answer.label in labels for answer, labels in zip(answers, expected, strict=True)]
    share = {"n": len(right), "accuracy": right.count(True) / len(right)}
    return share | answering(answers, expected)


def evaluate(
    labels: Sequence[str],
    expected: Sequence[Sequence[str]],
    probabilities: Sequence[Sequence[float]],
) -> dict[str, Any]:
    """Figures of n answers: expected lists each text's acceptable labels, probabilities is (n, k).

    Returns n, accuracy, macro_f1 (over the labels that occur among the truths), ece
    (expected calibration error of the confidence, 15 equal bins; Guo et al. 2017), per_label
    {label: n, precision, recall, f1}, confusion {truth: {answer: n}} and reliability(). Where
    several labels are acceptable, the truth is the answer if it is among them, else the first.
    """
    answers = [labels[max(range(len(row)), key=row.__getitem__)] for row in probabilities]
    truths = [
        answer if answer in right else right[0]
        for answer, right in zip(answers, expected, strict=True)
    ]
    confusion: dict[str, dict[str, int]] = {}
    for truth, answer in zip(truths, answers, strict=True):
        row = confusion.setdefault(truth, {})
        row[answer] = row.get(answer, 0) + 1
    per_label = _per_label(labels, confusion)
    right = [truth == answer for truth, answer in zip(truths, answers, strict=True)]
    confidences = [max(row) for row in probabilities]
    return {
        "n": len(truths),
        "accuracy": sum(right) / len(right),
        "macro_f1": sum(per_label[truth]["f1"] for truth in confusion) / len(confusion),
        "ece": calibration_error(confidences, right),
        "per_label": per_label,
        "confusion": confusion,
        "reliability": reliability(confidences, right),
    }


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Mean distance of confidence from accuracy over 15 equal bins, weighted by their texts."""
    bins = _binned(confidences, right)
    gaps = (abs(sum(c for c, _ in members) - sum(r for _, r in members)) for members in bins)
    return sum(gaps) / len(right)


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> list[dict[str, Any]]:
    """The bins of a reliability diagram, the lowest confidence first: n, confidence, accuracy.

    The last two are means over the bin's texts, None where it has none.
    """
    return [
        {
            "n": len(members),
            "confidence": _mean([c for c, _ in members]),
            "accuracy": _mean([r for _, r in members]),
        }
        for members in _binned(confidences, right)
    ]


def score_texts(
    predictor: Predictor, texts: Sequence[str], kinds: Sequence[str] = ()
) -> list[Scores]:
    """Scores in the order of texts, computed in batches of like length.

    kinds are the kinds of source of the texts, as models.spec.Predictor.predict takes them.
    """
    return map_scores(predictor, texts, kinds, of=lambda scores: scores)


def map_scores(
    predictor: Predictor, texts: Sequence[str], kinds: Sequence[str], *, of: Callable[[Scores], T]
) -> list[T]:
    """What of gives for the scores of each text, which are not kept: they are kilobytes a text.

    Arguments and order as in score_texts.
    """
    kinds = kinds or [""] * len(texts)
    # Four bytes a token, as a list of int has nine times as many.
    tokens: list[array[int]] = []
    for start in range(0, len(texts), TOKENISED_TOGETHER):
        some = predictor.tokenize(texts[start : start + TOKENISED_TOGETHER])
        tokens += [array("I", ids) for ids in some]
    order = sorted(range(len(texts)), key=lambda position: len(tokens[position]))
    found: dict[int, T] = {}

    def run(batch: Sequence[int]) -> None:
        scores = predictor.predict(
            [tokens[position].tolist() for position in batch],
            [kinds[position] for position in batch],
        )
        found.update(zip(batch, map(of, scores), strict=True))

    batch: list[int] = []
    for position in order:
        if batch and (len(batch) + 1) * len(tokens[position]) > MAX_BATCH_TOKENS:
            run(batch)
            batch = []
        batch.append(position)
    if batch:
        run(batch)
    return [found[position] for position in range(len(texts))]


def find_head(heads: Sequence[Head], name: str) -> Head:
    """The head of that name; EvaluateError lists the names there are."""
    for head in heads:
        if head.name == name:
            return head
    names = ", ".join(head.name for head in heads)
    raise EvaluateError(f"--head {name}: the model has no such head, only {names}")


def _binned(confidences: Sequence[float], right: Sequence[bool]) -> list[list[tuple[float, bool]]]:
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(ECE_BINS)]
    for confidence, correct in zip(confidences, right, strict=True):
        bins[min(int(confidence * ECE_BINS), ECE_BINS - 1)].append((confidence, correct))
    return bins


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _per_label(
    labels: Sequence[str], confusion: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, float]]:
    rows = {}
    for label in labels:
        hits = confusion.get(label, {}).get(label, 0)
        there = sum(confusion.get(label, {}).values())
        said = sum(row.get(label, 0) for row in confusion.values())
        if there or said:
            rows[label] = {
                "n": there,
                "precision": hits / said if said else 0.0,
                "recall": hits / there if there else 0.0,
                "f1": 2 * hits / (there + said),
            }
    return rows
