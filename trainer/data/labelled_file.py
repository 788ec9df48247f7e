"""A file of labelled texts for one head: its rows checked, mapped to the head's labels, counted."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from models.spec import Head
from stream.names import SOURCE_KINDS
from trainer.data.dataset import Example
from trainer.data.row_text import TITLE_COLUMN, cell, row_text, used_title
from trainer.data.rows import is_whole_text, read_rows
from trainer.errors import DatasetError


class LabelledFile(NamedTuple):
    """A .jsonl, .tsv or .csv file, and the columns in which its texts, titles and labels stand.

    mapping is a file as in read_label_map.
    """

    path: Path
    text_column: str = "text"
    title_column: str = TITLE_COLUMN
    label_column: str = "label"
    mapping: Path | None = None

    def __str__(self) -> str:
        return str(self.path)


class LabelMap(NamedTuple):
    """A source's own labels to ours. column is where they stand, if not in the label column.

    Rows whose label is not in the table are an error unless skip_unmapped.
    """

    table: dict[str, tuple[str, ...]]
    column: str | None = None
    skip_unmapped: bool = False


class Labelled(NamedTuple):
    """The examples of a file, and what a person should know of the rows left out."""

    examples: list[Example]
    remarks: list[str]


def read_labelled(file: LabelledFile, head: Head) -> Labelled:
    """The labelled rows of a file, for one head.

    Texts are those that the stream would make of the rows. A head without labels takes whatever
    labels there are. A label that the mapping lacks must be the head's own. Rows without a text or
    a label are left out. Raises DatasetError for a missing file or column, a label that is none or
    not the head's.
    """
    path = file.path
    table = read_label_map(file.mapping, head.name, path.stem) if file.mapping else LabelMap({})
    column = table.column or file.label_column
    own = head.labels or tuple(sorted({one for ours in table.table.values() for one in ours}))
    rows = read_rows(path)
    titles = used_title(path, rows, file.title_column, file.text_column, column)
    examples = []
    without_text = without_label = foreign = 0
    for number, row in enumerate(rows, start=1):
        where = f"{path}: row {number}"
        text = row_text(row, where, text_column=file.text_column, title_column=titles)
        label = cell(row, column, where, "--label-column")
        labels = _ours(label, table, own, head.name, where) if label else ()
        if not text:
            without_text += 1
        elif not labels:
            without_label += 1
        else:
            source = str(row.get("source") or "")
            kind = source if source in SOURCE_KINDS else ""
            foreign += bool(source and not kind)
            examples.append(
                Example(text=text, source=path.stem, labels={head.name: labels}, kind=kind)
            )
    remarks = []
    if titles:
        remarks.append(f"column {titles!r} is read as the title, before the text, as in the stream")
    if without_text:
        remarks.append(f"{without_text} rows without a text are left out")
    if without_label:
        remarks.append(f"{without_label} rows without a label are left out")
    if foreign:
        kinds = ", ".join(SOURCE_KINDS)
        remarks.append(
            f"{foreign} rows whose source is none of {kinds} count as of no known source"
        )
    return Labelled(examples, remarks)


def read_label_map(file: Path, head: str, dataset: str) -> LabelMap:
    """The map of one data set's labels for one head out of a JSON mapping file.

    The file is {label: ours} or {head: {data set: {label: ours}}}, where ours is a label or a list
    of labels that all count as right. In place of {label: ours} may stand {"by": column, "map":
    {label: ours}} for labels in another column; rows it doesn't list are then left out.
    """
    try:
        content = json.loads(file.read_bytes())
        if not is_whole_text(content):
            raise DatasetError(
                f"{file}: holds half of a character (a lone surrogate), which is no text; mend it"
            )
        if isinstance(content.get(head), dict):
            content = content[head][dataset]
        column = content.get("by")
        table = content["map"] if column else content
        ours = {
            _composed(label): (value,) if isinstance(value, str) else tuple(map(str, value))
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


def _ours(
    label: str, table: LabelMap, own: Collection[str], head: str, where: str
) -> tuple[str, ...]:
    if label not in own:
        label = _composed(label)
    mapped = table.table.get(label)
    if mapped is None and table.skip_unmapped:
        return ()
    labels = (label,) if mapped is None else mapped
    unknown = [one for one in labels if own and one not in own]
    if unknown:
        what_to_do = (
            "add it to the mapping"
            if table.table and mapped is None
            else "say what it means with --mapping FILE, or name another --head"
        )
        raise DatasetError(
            f"{where}: label {unknown[0]!r} is none of head {head!r} ({', '.join(own)}); "
            f"{what_to_do}"
        )
    return labels


def _composed(label: str) -> str:
    """As people type it: a file from a Mac may hold a letter and its accent as two characters."""
    return unicodedata.normalize("NFC", label)
