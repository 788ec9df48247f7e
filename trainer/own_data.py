"""Somebody's own file, as a fit wants it: checked, its labels found, faults named by row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models.spec import Head
from trainer.dataset import Example, LabelMap, merge, read_label_map, read_rows
from trainer.errors import DatasetError

LEAST_TEXTS = 10
MOST_LABELS = 1_000
# Beyond this share of different labels, the column holds ids or texts rather than labels.
MOST_LABELS_PER_TEXT = 0.5
NOTABLE_LABELS = 20
# Rules speak of heads by name, beside names of their own and CEL's words.
HEAD_NAME = re.compile(r"[a-z][a-z0-9_]*")
RESERVED = ("event", "subject", "signal", "in", "true", "false", "null")


class Own(NamedTuple):
    """The head that the file teaches, its examples, and what a person should know of them."""

    head: Head
    examples: list[Example]
    remarks: list[str]


def read_own(
    file: Path,
    name: str,
    heads: Sequence[Head],
    *,
    text_column: str,
    label_column: str,
    mapping: Path | None = None,
) -> Own:
    """The labelled rows of a .tsv, .csv or .jsonl file for the head of that name.

    If heads has one of that name, the labels must be among its own (as they stand, or by mapping);
    else the head is new, and its labels are those of the file in alphabetical order. Rows without a
    text or a label are left out, copies count once, and a text whose copies disagree not at all:
    remarks say how many. Raises DatasetError for a file that can't be learnt from.
    """
    if not HEAD_NAME.fullmatch(name) or name in RESERVED:
        raise DatasetError(
            f"--head {name}: rules could not name it; use small letters, digits and _ "
            f"(not {', '.join(RESERVED)})"
        )
    table = read_label_map(mapping, name, file.stem) if mapping else LabelMap({})
    rows, remarks = _labelled_rows(file, text_column, table.column or label_column, table)
    known = next((head for head in heads if head.name == name), None)
    counts = Counter(label for _, label, _ in rows)
    head = known or Head(name=name, labels=tuple(sorted(counts)))
    if strange := sorted(counts.keys() - set(head.labels)):
        raise DatasetError(
            f"{file}: label {strange[0]!r} is none of head {name!r} ({', '.join(head.labels)}); "
            "say what it means with --mapping FILE, or give your head another --head name"
        )
    examples = merge(
        Example(text=text, source=file.stem, labels={name: (label,)}, kind=kind)
        for text, label, kind in rows
    )
    if lost := len(rows) - len(examples):
        remarks.append(f"{lost} rows repeat a text or contradict another row of the same text")
    counts = Counter(example.labels[name][0] for example in examples)
    _check(file, label_column, counts)
    if single := sorted(label for label, texts in counts.items() if texts == 1):
        some = ", ".join(map(repr, single[:NOTABLE_LABELS]))
        remarks.append(f"labels with a single text are learnt but can't be validated: {some}")
    return Own(head, examples, remarks)


def read_texts(file: Path, text_column: str) -> list[str]:
    """The different texts of a .tsv, .csv or .jsonl file, or of a .txt file with one a line."""
    if file.suffix == ".txt":
        try:
            texts = file.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise DatasetError(f"{file}: can't be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise DatasetError(f"{file}: is not UTF-8 text; convert it first") from None
    else:
        rows = read_rows(file)
        if rows and all(row.get(text_column) is None for row in rows):
            raise DatasetError(
                f"{file}: has no column {text_column!r}, only {', '.join(rows[0])}; "
                "name the right one with --text-column"
            )
        texts = [str(row.get(text_column) or "") for row in rows]
    return list(dict.fromkeys(stripped for text in texts if (stripped := text.strip())))


def _labelled_rows(
    file: Path, text_column: str, label_column: str, table: LabelMap
) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(text, label, kind of source) a row, and remarks on the rows left out."""
    labelled: list[tuple[str, str, str]] = []
    without_text = without_label = 0
    for number, row in enumerate(read_rows(file), start=1):
        for needed, option in ((text_column, "--text-column"), (label_column, "--label-column")):
            if needed not in row:
                raise DatasetError(
                    f"{file}: row {number} has no column {needed!r}, only {', '.join(row)}; "
                    f"name the right one with {option}"
                )
        text, label = (str(row[name] or "").strip() for name in (text_column, label_column))
        if row[label_column] in (0, False):
            label = str(row[label_column])
        if table.table:
            ours = table.table.get(label, ())
            if not ours and not table.skip_unmapped and label:
                raise DatasetError(
                    f"{file}: row {number}: label {label!r} is not in the mapping; add it there"
                )
            label = ours[0] if len(ours) == 1 else ""
        without_text += not text
        without_label += bool(text) and not label
        if text and label:
            kind = row.get("source")
            labelled.append((text, label, kind if isinstance(kind, str) else ""))
    remarks = []
    if without_text:
        remarks.append(f"{without_text} rows without a text are left out")
    if without_label:
        remarks.append(f"{without_label} rows without a label are left out")
    return labelled, remarks


def _check(file: Path, label_column: str, counts: Counter[str]) -> None:
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
            f"{file}: column {label_column!r} holds {len(counts)} different values in {texts} "
            "texts; that looks like no label column, name the right one with --label-column"
        )
