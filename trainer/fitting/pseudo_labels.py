"""Pseudo-labels: answers of a model that is sure of them stand in for labels nobody gave.

Lee 2013, "Pseudo-Label"; the consistency check is that of Xie et al. 2020, "Unsupervised Data
Augmentation": an answer counts only if it stays the same when some of the words are missing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from models.spec import Head, Predictor, Scores
from trainer.data.dataset import Example
from trainer.evaluate import map_scores

MIN_CONFIDENCE = 0.9
VIEWS = 2
DROPPED_SHARE = 0.15


class Report(NamedTuple):
    """What became of one head: texts asked, of them sure, and of those the same without words."""

    head: str
    asked: int
    sure: int
    consistent: int
    by_label: dict[str, int]

    def __str__(self) -> str:
        return (
            f"{self.head}: {self.asked} texts without a label, {self.sure} answered with at least "
            f"{MIN_CONFIDENCE:.0%} confidence, {self.consistent} of them consistently "
            f"({', '.join(f'{label} {n}' for label, n in sorted(self.by_label.items()))})"
        )


def fill_in(
    predictor: Predictor, examples: Sequence[Example], heads: Sequence[Head] | None = None
) -> tuple[list[Example], list[Report]]:
    """The examples, with the predictor's answers for heads without a label where they can count.

    An answer counts at a confidence of at least 0.9 if two copies of the text, each without some
    15 % of its words, get the same label. heads narrows it; else all heads of the predictor.
    """
    heads = heads or predictor.heads
    texts = [example.text for example in examples]
    kinds = [example.kind for example in examples]
    names = [head.name for head in heads]

    def said(scores: Scores) -> dict[str, tuple[str, float]]:
        return {name: (scores[name].label, scores[name].confidence) for name in names}

    answers = map_scores(predictor, texts, kinds, of=said)
    views = [
        map_scores(
            predictor, [without_words(text, f"{view} {text}") for text in texts], kinds, of=said
        )
        for view in range(VIEWS)
    ]
    labels = [dict(example.labels) for example in examples]
    reports = []
    for head in heads:
        asked = [at for at, own in enumerate(labels) if head.name not in own]
        sure = [at for at in asked if answers[at][head.name][1] >= MIN_CONFIDENCE]
        consistent = [
            at
            for at in sure
            if all(view[at][head.name][0] == answers[at][head.name][0] for view in views)
        ]
        by_label: dict[str, int] = {}
        for at in consistent:
            label, _ = answers[at][head.name]
            labels[at][head.name] = (label,)
            by_label[label] = by_label.get(label, 0) + 1
        reports.append(Report(head.name, len(asked), len(sure), len(consistent), by_label))
    filled = [
        msgspec.structs.replace(example, labels=own)
        for example, own in zip(examples, labels, strict=True)
    ]
    return filled, reports


def without_words(text: str, seed: str) -> str:
    """The text less some 15 % of its words, at least one of them where it has two or more."""
    words = text.split()
    if len(words) <= 1:
        return text
    draw = random.Random(seed)  # noqa: S311 - a reproducible choice, no secret
    dropped = set(draw.sample(range(len(words)), max(1, round(len(words) * DROPPED_SHARE))))
    return " ".join(word for at, word in enumerate(words) if at not in dropped)
