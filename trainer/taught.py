"""What people taught, parted into what a challenger learns from and what it is judged by. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from models.spec import DEFAULT_HEADS
from trainer.dataset import Example, merge, read_sentences, split
from trainer.keep import SENTENCES, evenly
from trainer.settlement import Label

GOLDEN_SHARE = 0.2
# Those that the shipped checkpoint was judged by, never trained on by anybody.
BASE_SHARE = 0.1
REMINDERS = 1_000


@dataclass(frozen=True)
class Taught:
    """Labelled texts, parted by the hash of each text: once golden, always golden.

    recent are the texts of learn whose label the champion did not know; authors are those who gave
    a text its label, by (head, text).
    """

    learn: list[Example]
    recent: frozenset[str]
    golden: list[Example]
    base: list[Example]
    reminders: list[Example]
    authors: Mapping[tuple[str, str], tuple[str, ...]]


def taught_by(labels: Sequence[Label], known_up_to: Mapping[str, Any]) -> Taught:
    """The labels as examples, our own sentences beside them.

    known_up_to says what labels the champion learnt from, as Label.newer_than takes it.
    """
    own = read_sentences(SENTENCES, DEFAULT_HEADS)
    rest, base = split(own, BASE_SHARE, salt="test")
    examples = merge(
        Example(one.text, "feedback", {one.head: (one.label,)}, kind=one.source) for one in labels
    )
    learn, golden = split(examples, GOLDEN_SHARE, salt="golden")
    reminders = [msgspec.structs.replace(one, labels={}) for one in evenly(rest, REMINDERS)]
    recent = frozenset(one.text for one in labels if one.newer_than(known_up_to))
    authors = {(one.head, one.text): one.authors for one in labels}
    return Taught(learn, recent, golden, base, reminders, authors)
