"""What can be said of one answer of a head, as plain records. Imports no torch."""

from __future__ import annotations

import msgspec


class Word(msgspec.Struct, frozen=True):
    """A word as the model reads it, and how much it adds to the log-odds of the label.

    read is false for a word behind the encoder's last token, which no weight can follow from.
    """

    text: str
    weight: float
    read: bool


class Attribution(msgspec.Struct, frozen=True):
    """What a head's answer is made of, in log-odds of label: log(p / (1 - p)).

    The words' weights sum to log_odds - baseline but for error, which the sum over points on the
    path leaves; baseline is the log-odds of the same text with every word masked.
    """

    head: str
    label: str
    confidence: float
    log_odds: float
    baseline: float
    error: float
    points: int
    words: tuple[Word, ...]


class Edit(msgspec.Struct, frozen=True):
    """The words whose removal makes the head answer label instead."""

    removed: tuple[str, ...]
    text: str
    label: str
    confidence: float


class Neighbour(msgspec.Struct, frozen=True):
    """An example and its cosine similarity, -1..1."""

    text: str
    label: str
    source: str
    similarity: float


class Example(msgspec.Struct, frozen=True):
    """A text with the label that people gave it, and where it is from."""

    text: str
    label: str
    source: str
