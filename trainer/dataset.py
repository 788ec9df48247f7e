"""Labelled texts: read, map to our labels, merge, split by stable hash. Knows no model."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from models.spec import Head
from trainer.errors import DatasetError

# CFPB narratives run to 14,000 characters, quoted in one field.
csv.field_size_limit(10_000_000)


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


class LabelMap(NamedTuple):
    """A source's own labels to ours. column is where they stand, if not in the label column.

    Rows whose label is not in the table are an error unless skip_unmapped.
    """

    table: dict[str, tuple[str, ...]]
    column: str | None = None
    skip_unmapped: bool = False


def read_examples(
    file: Path,
    head: Head,
    *,
    text_column: str = "text",
    label_column: str = "label",
    label_map: LabelMap | None = None,
) -> list[Example]:
    """The labelled rows of a .jsonl, .tsv or .csv file, for one head; empty texts are left out.

    Raises DatasetError for a missing file or column, an unknown label, or no row at all.
    """
    column = (label_map and label_map.column) or label_column
    examples = []
    for number, row in enumerate(read_rows(file), start=1):
        for needed in (text_column, column):
            if row.get(needed) is None:
                raise DatasetError(
                    f"{file}: row {number} has no column {needed!r}, only {', '.join(row)}; "
                    "name the right one with --text-column or --label-column"
                )
        labels = _labels(str(row[column]), head, label_map, f"{file}: row {number}")
        text = str(row[text_column]).strip()
        if labels and text:
            kind = row.get("source")
            examples.append(
                Example(
                    text=text,
                    source=file.stem,
                    labels={head.name: labels},
                    kind=kind if isinstance(kind, str) else "",
                )
            )
    if not examples:
        raise DatasetError(f"{file}: holds no labelled text; give a file with at least one row")
    return examples


def read_sentences(folder: Path, heads: Sequence[Head]) -> list[Example]:
    """Our own sentences: *.tsv with a text column and one column a head, empty where not known.

    A file is named by the kind of source that its sentences imitate.
    """
    examples = []
    for file in sorted(folder.glob("*.tsv")):
        for number, row in enumerate(read_rows(file), start=1):
            labels = {
                head.name: _labels(row[head.name], head, None, f"{file}: row {number}")
                for head in heads
                if row.get(head.name)
            }
            examples.append(
                Example(text=row["text"], source=file.stem, labels=labels, kind=file.stem)
            )
    if not examples:
        raise DatasetError(f"{folder}: holds no .tsv file with sentences")
    return examples


def read_label_map(file: Path, head: str, dataset: str) -> LabelMap:
    """The map of one data set's labels for one head out of a JSON mapping file.

    The file is {label: ours} or {head: {data set: {label: ours}}}, where ours is a label or a list
    of labels that all count as right. In place of {label: ours} may stand {"by": column, "map":
    {label: ours}} for labels in another column; rows it doesn't list are then left out.
    """
    try:
        content = json.loads(file.read_bytes())
        if isinstance(content.get(head), dict):
            content = content[head][dataset]
        column = content.get("by")
        table = content["map"] if column else content
        ours = {
            label: (value,) if isinstance(value, str) else tuple(map(str, value))
            for label, value in table.items()
        }
    except OSError as error:
        raise DatasetError(f"{file}: can't be read ({error.strerror})") from None
    except ValueError as error:
        raise DatasetError(f"{file}: is not valid JSON ({error})") from None
    except (KeyError, TypeError, AttributeError):
        raise DatasetError(
            f"{file}: has no labels for head {head!r} and data set {dataset!r}; write "
            f'{{"{head}": {{"{dataset}": {{"their label": "our label"}}}}}}'
        ) from None
    return LabelMap(table=ours, column=column, skip_unmapped=column is not None)


def merge(examples: Iterable[Example]) -> list[Example]:
    """One example a text, in order of first sight, with the labels of all its copies.

    Copies are told by the text without case, spacing and links. Where they disagree about a head,
    nobody knows who is right, and the text loses that head's label.
    """
    merged: dict[str, Example] = {}
    for example in examples:
        first = merged.setdefault(_identity(example.text), example)
        if first is example:
            continue
        labels = {**example.labels, **first.labels}
        for head in example.labels.keys() & first.labels.keys():
            if example.labels[head] != first.labels[head]:
                labels[head] = ()
        merged[_identity(example.text)] = msgspec.structs.replace(first, labels=labels)
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


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines, TSV or CSV file, told by its ending; the latter with a header."""
    try:
        content = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{file}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{file}: is not UTF-8 text; convert it first") from None
    if file.suffix == ".jsonl":
        return [_json_row(file, line, n) for n, line in enumerate(content.split("\n"), 1) if line]
    lines = io.StringIO(content)
    if file.suffix == ".tsv":
        # Tabs part the columns and nothing is quoted, so that a sentence may begin with a quote.
        return list(csv.DictReader(lines, restkey="", delimiter="\t", quoting=csv.QUOTE_NONE))
    if file.suffix == ".csv":
        return list(csv.DictReader(lines, restkey=""))
    raise DatasetError(f"{file}: ends in none of .jsonl, .tsv, .csv; rename it by what it holds")


def _json_row(file: Path, line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise DatasetError(f"{file}: line {number} is no JSON object")
    return row


def _labels(own: str, head: Head, label_map: LabelMap | None, where: str) -> tuple[str, ...]:
    if label_map is None:
        ours: tuple[str, ...] | None = (own,)
    else:
        ours = label_map.table.get(own)
        if ours is None and label_map.skip_unmapped:
            return ()
    unknown = [own] if ours is None else [label for label in ours if label not in head.labels]
    if ours is None or unknown:
        raise DatasetError(
            f"{where}: label {unknown[0]!r} is none of head {head.name!r} "
            f"({', '.join(head.labels)}); say what it means with --mapping FILE"
        )
    return ours


def _by_label(examples: Sequence[Example], head: str) -> list[list[Example]]:
    """The examples of each label, in the order of their hashes."""
    groups: dict[tuple[str, ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(example.labels[head], []).append(example)
    return [
        sorted(groups[labels], key=lambda example: _position(example.text, "fit"))
        for labels in sorted(groups)
    ]


def _identity(text: str) -> str:
    words = text.casefold().split()
    return " ".join(word for word in words if not word.startswith(("http://", "https://")))


def _position(text: str, salt: str) -> float:
    digest = hashlib.blake2b(f"{salt}\n{_identity(text)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def source_counts(examples: Iterable[Example]) -> Mapping[str, int]:
    """Examples by source, for reports."""
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.source] = counts.get(example.source, 0) + 1
    return counts
