"""Labelled texts: ours are read, copies merged, parts split by stable hash. Knows no model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from models.spec import Head
from trainer.data.rows import read_rows
from trainer.errors import DatasetError

SENTENCES = Path(__file__).parents[1] / "sentences"
"""Our own, which ship: see read_sentences."""


class Example(msgspec.Struct, frozen=True):
    """A text, the file it came from, and per head the labels that count as right.

    More than one label means that the source can't tell them apart: fine to judge by, not to learn.
    kind is the kind of source (news, social, ticket) where the row says so in its column "source";
    heads may be calibrated for it.
    """

    text: str
    source: str
    labels: dict[str, tuple[str, ...]]
    kind: str = ""


def read_sentences(folder: Path, heads: Sequence[Head]) -> list[Example]:
    """Our own sentences: *.tsv with a text column and one column a head, empty where not known.

    A file is named by the kind of source that its sentences imitate.
    """
    examples = []
    for file in sorted(folder.glob("*.tsv")):
        kind = file.stem
        for number, row in enumerate(read_rows(file), start=1):
            labels = {
                head.name: _checked(label, head, file, number)
                for head in heads
                if (label := row.get(head.name))
            }
            examples.append(Example(text=row["text"], source=kind, labels=labels, kind=kind))
    if not examples:
        raise DatasetError(f"{folder}: holds no .tsv file with sentences")
    return examples


def merge(examples: Iterable[Example]) -> list[Example]:
    """One example a text, in order of first sight, with the labels of all its copies.

    Copies are texts of one identity. Where they disagree about a head, nobody knows who is right,
    and the text loses that head's label.
    """
    merged: dict[str, Example] = {}
    for example in examples:
        first = merged.setdefault(text_identity(example.text), example)
        if first is example:
            continue
        labels = {**example.labels, **first.labels}
        for head in example.labels.keys() & first.labels.keys():
            if example.labels[head] != first.labels[head]:
                labels[head] = ()
        merged[text_identity(example.text)] = msgspec.structs.replace(first, labels=labels)
    kept = []
    for example in merged.values():
        labels = {head: ours for head, ours in example.labels.items() if ours}
        if labels:
            kept.append(msgspec.structs.replace(example, labels=labels))
    return kept


def split(
    examples: Iterable[Example], share: float, *, salt: str
) -> tuple[list[Example], list[Example]]:
    """(the rest, a share of 0 to 1 held out), decided by each text alone.

    A text stays on its side whatever else is added, so a held-out text is never trained on later.
    """
    rest: list[Example] = []
    held_out: list[Example] = []
    for example in examples:
        (held_out if _position(example.text, salt) < share else rest).append(example)
    return rest, held_out


def split_by_label(
    examples: Sequence[Example], head: str, share: float
) -> tuple[list[Example], list[Example]]:
    """(the rest, a share held out) with every label in both as far as its texts go.

    Of each label the texts of the lowest hashes are held out, so the choice does not depend on the
    order of the rows; a label with a single text stays in the rest.
    """
    held_out: list[Example] = []
    for members in _by_label(examples, head):
        wanted = min(len(members) - 1, max(1, round(len(members) * share)))
        held_out += members[:wanted]
    out = {example.text for example in held_out}
    return [example for example in examples if example.text not in out], held_out


def folds(examples: Sequence[Example], head: str, k: int) -> list[list[Example]]:
    """K parts of like size, each with its share of every label."""
    parts: list[list[Example]] = [[] for _ in range(k)]
    in_order = [example for members in _by_label(examples, head) for example in members]
    for at, example in enumerate(in_order):
        parts[at % k].append(example)
    return parts


def evenly_spaced(examples: Sequence[Example], most: int) -> list[Example]:
    """At most so many, each once, at equal distances through the whole."""
    most = min(most, len(examples))
    return [examples[at * len(examples) // most] for at in range(most)]


def _checked(label: str, head: Head, file: Path, number: int) -> tuple[str, ...]:
    if label not in head.labels:
        raise DatasetError(
            f"{file}: row {number}: label {label!r} is none of head {head.name!r} "
            f"({', '.join(head.labels)})"
        )
    return (label,)


def _by_label(examples: Sequence[Example], head: str) -> list[list[Example]]:
    """The examples of each label, in the order of their hashes."""
    groups: dict[tuple[str, ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(example.labels[head], []).append(example)
    return [
        sorted(groups[labels], key=lambda example: _position(example.text, "fit"))
        for labels in sorted(groups)
    ]


def text_identity(text: str) -> str:
    """What copies of a text share: its words without case, spacing and links."""
    words = text.casefold().split()
    return " ".join(word for word in words if not word.startswith(("http://", "https://")))


def _position(text: str, salt: str) -> float:
    digest = hashlib.blake2b(f"{salt}\n{text_identity(text)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def source_counts(examples: Iterable[Example]) -> Mapping[str, int]:
    """Examples by source, for reports."""
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.source] = counts.get(example.source, 0) + 1
    return counts
