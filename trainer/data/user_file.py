"""A user's labelled file, as a fit needs it: checked, its labels found, faults named by row."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models.spec import Head
from stream.ingest.text import clean_text
from trainer.data.dataset import Example, merge
from trainer.data.labelled_file import LabelledFile, read_labelled
from trainer.data.row_text import MAX_CHARS, row_text, used_title
from trainer.data.rows import lacks, read_rows, read_text
from trainer.errors import DatasetError

LEAST_TEXTS = 10
MOST_LABELS = 1_000
# Beyond this share of different labels, the column holds ids or texts rather than labels.
MOST_LABELS_PER_TEXT = 0.5
NOTABLE_LABELS = 20
# They are not seen either, but Persian and Indian languages are written with them.
JOINERS = {0x200C: None, 0x200D: None}
# Rules speak of heads by name, beside names of their own, CEL's words and an event's fields.
HEAD_NAME = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = (
    *("event", "subject", "signal", "in", "true", "false", "null"),
    *("id", "source", "text", "title", "author", "customer", "lang", "tickers", "time"),
    *("attributes", "novelty", "copy_of"),
)


class UserFile(NamedTuple):
    """The head that the file teaches, its examples, and what a person should know of them."""

    head: Head
    examples: list[Example]
    remarks: list[str]


def read_user_file(file: LabelledFile, name: str, heads: Sequence[Head]) -> UserFile:
    """The labelled rows of a file for the head of that name.

    If heads has one of that name, the labels must be among its own (as they stand, or by mapping);
    else the head is new, and its labels are those of its examples in alphabetical order. Rows
    without a text or a label are left out, copies count once, and a text whose copies disagree not
    at all: remarks say how many. Raises DatasetError for a file that can't be learnt from, or that
    spells a label of a new head in several ways, or in one that nobody could type.
    """
    known = next((head for head in heads if head.name == name), None)
    if not known and (not HEAD_NAME.fullmatch(name) or name in RESERVED):
        raise DatasetError(
            f"--head {name}: rules could not name it; use small letters, digits and _, and no name "
            f"that means something else there ({', '.join(RESERVED)})"
        )
    read, remarks = read_labelled(file, known or Head(name=name, labels=()))
    # Labels of which the source can't tell which is right are fine to judge by, not to learn.
    rows = [example for example in read if len(example.labels[name]) == 1]
    if unclear := len(read) - len(rows):
        remarks.append(f"{unclear} rows whose label the mapping leaves open are left out")
    counts = Counter(example.labels[name][0] for example in rows)
    examples = merge(rows)
    if lost := len(rows) - len(examples):
        remarks.append(f"{lost} rows repeat a text or contradict another row of the same text")
    kept = Counter(example.labels[name][0] for example in examples)
    head = known or Head(name=name, labels=tuple(sorted(kept)))
    _check(file, kept)
    if contradicted := sorted(counts.keys() - kept.keys()):
        some = ", ".join(map(repr, contradicted[:NOTABLE_LABELS]))
        remarks.append(f"labels of which no text is left, as others contradict them all: {some}")
    if not known:
        _refuse_spellings(file.path, counts)
        _refuse_untypable(file.path, counts)
    if single := sorted(label for label, texts in kept.items() if texts == 1):
        some = ", ".join(map(repr, single[:NOTABLE_LABELS]))
        remarks.append(f"labels with a single text are learnt but can't be validated: {some}")
    return UserFile(head, examples, remarks)


def read_texts(file: Path, *, text_column: str, title_column: str) -> list[str]:
    """The different texts of a .tsv, .csv or .jsonl file, or of a .txt file with one a line.

    They are those that the stream would make of the rows.
    """
    titles = None
    if file.suffix.lower() == ".txt":
        # Not splitlines: a text may hold what Unicode calls the end of a line or paragraph.
        rows = [{text_column: line} for line in read_text(file).split("\n")]
    else:
        rows = read_rows(file)
        if rows and all(row.get(text_column) is None for row in rows):
            raise lacks(f"{file}:", text_column, rows[0], "--text-column")
        titles = used_title(file, rows, title_column, text_column)
    texts = (
        row_text(
            {text_column: None, **row},
            f"{file}: row {number}",
            text_column=text_column,
            title_column=titles,
        )
        for number, row in enumerate(rows, start=1)
    )
    return list(dict.fromkeys(filter(None, texts)))


def _refuse_untypable(file: Path, counts: Counter[str]) -> None:
    """Rules, queues and people's labels name a label as it is seen."""
    for label in sorted(counts):
        if label.startswith('"') and label.endswith('"'):
            raise DatasetError(
                f"{file}: has the label {label!r}, quotes and all; a .tsv is read without quotes: "
                "take them out, or make it a .csv"
            )
        if not label.translate(JOINERS).isprintable():
            raise DatasetError(
                f"{file}: has the label {label!r}, with characters that are not seen; write it "
                "without them, in the file or by a --mapping FILE of all labels"
            )


def _refuse_spellings(file: Path, counts: Counter[str]) -> None:
    """Labels of one meaning for a person would be two classes, each with a part of the texts."""
    alike: dict[str, list[str]] = {}
    for label in sorted(counts):
        # Compatibility forms: letters of double width are the letters that they look like.
        plain = clean_text(unicodedata.normalize("NFKC", label), MAX_CHARS)
        alike.setdefault(plain.casefold(), []).append(label)
    groups = [labels for labels in alike.values() if len(labels) > 1]
    if not groups:
        return
    some = "; ".join(
        " and ".join(f"{label!r} ({counts[label]} texts)" for label in labels)
        for labels in groups[:NOTABLE_LABELS]
    )
    raise DatasetError(
        f"{file}: has labels that differ only in capitals, spaces or width: {some}; write each in "
        "one way, in the file or by a --mapping FILE of all labels"
    )


def _check(file: LabelledFile, counts: Counter[str]) -> None:
    texts = counts.total()
    if texts < LEAST_TEXTS:
        raise DatasetError(
            f"{file}: holds {texts} different labelled texts; a fit needs at least {LEAST_TEXTS}"
        )
    if len(counts) == 1:
        raise DatasetError(
            f"{file}: every text has the label {next(iter(counts))!r}; give texts of at least two "
            "labels, so that there is something to tell apart"
        )
    if len(counts) > min(MOST_LABELS, MOST_LABELS_PER_TEXT * texts):
        raise DatasetError(
            f"{file}: column {file.label_column!r} holds {len(counts)} different values in {texts} "
            "texts; that looks like no label column, name the right one with --label-column"
        )
