"""People's labels, split into what a challenger learns from and what it is judged by. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from models.spec import DEFAULT_HEADS
from trainer.data.dataset import (
    SENTENCES,
    Example,
    evenly_spaced,
    merge,
    read_sentences,
    split,
    text_identity,
)
from trainer.labels.settlement import Label

GOLDEN_SHARE = 0.2
# Those that the shipped checkpoint was judged by, never trained on by anybody.
BASE_SHARE = 0.1
REMINDERS = 1_000


@dataclass(frozen=True)
class DataSplit:
    """Labelled texts, parted by the hash of each text: once golden, always golden.

    recent are the (head, text) of train of which the champion knew no label, not of a copy either;
    authors are those who gave a text or a copy of it its label, by (head, text).
    """

    train: list[Example]
    recent: frozenset[tuple[str, str]]
    golden: list[Example]
    base: list[Example]
    reminders: list[Example]
    authors: Mapping[tuple[str, str], tuple[str, ...]]


def split_labels(labels: Sequence[Label], known_up_to: Mapping[str, Any]) -> DataSplit:
    """The labels as examples, our own sentences beside them.

    known_up_to says what labels the champion learnt from, as Label.newer_than takes it.
    """
    own = read_sentences(SENTENCES, DEFAULT_HEADS)
    rest, base = split(own, BASE_SHARE, salt="test")
    examples = merge(
        Example(one.text, "feedback", {one.head: (one.label,)}, kind=one.source) for one in labels
    )
    train, golden = split(examples, GOLDEN_SHARE, salt="golden")
    reminders = [msgspec.structs.replace(one, labels={}) for one in evenly_spaced(rest, REMINDERS)]
    known, authors = set[tuple[str, str]](), defaultdict[tuple[str, str], set[str]](set)
    for one in labels:
        place = (one.head, text_identity(one.text))
        authors[place].update(one.authors)
        if not one.newer_than(known_up_to):
            known.add(place)
    recent = frozenset(place for place, own in _places(train) if own not in known)
    by_text = {place: tuple(sorted(authors[own])) for place, own in _places(examples)}
    return DataSplit(train, recent, golden, base, reminders, by_text)


def _places(
    examples: Iterable[Example],
) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Each (head, text) that has a label, and (head, identity) under which its copies have it."""
    for one in examples:
        for head in one.labels:
            yield (head, one.text), (head, text_identity(one.text))
