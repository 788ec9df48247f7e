"""Labelled texts to show beside an answer: our own sentences, and what people said."""

from __future__ import annotations

from pathlib import Path

from models.explanation import Example
from models.spec import DEFAULT_HEADS, Head
from trainer.data.dataset import SENTENCES, read_sentences
from trainer.labels.label_log import LABELS_FILE, open_to_read


def labelled(head: Head, folder: Path) -> list[Example]:
    """Texts with a label of that head: people's of the trainer's folder first, then the shipped.

    Raises LabelLogError when there is a label log that can't be read.
    """
    examples = []
    if (folder / LABELS_FILE).exists():
        with open_to_read(folder) as log:
            labels = log.settled((head,)).labels
        examples = [Example(one.text, one.label, "feedback") for one in labels if one.text]
    return [*examples, *_shipped(head)]


def _shipped(head: Head) -> list[Example]:
    """None for a head of the user's own, of which the sentences know nothing."""
    if (head.name, head.labels) not in {(one.name, one.labels) for one in DEFAULT_HEADS}:
        return []
    return [
        Example(one.text, " or ".join(one.labels[head.name]), f"sentences/{one.source}")
        for one in read_sentences(SENTENCES, (head,))
        if head.name in one.labels
    ]
