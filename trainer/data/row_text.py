"""The text of a row as the stream gives it to the model: cleaned, with the title before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stream.ingest.text import clean_text
from stream.records import model_text
from trainer.data.rows import lacks
from trainer.errors import DatasetError

TITLE_COLUMN = "title"
# The default of limits.max_text_chars; an encoder reads far less of a text.
MAX_CHARS = 20_000


def used_title(
    file: Path, rows: Sequence[Mapping[str, Any]], asked: str, *others: str
) -> str | None:
    """The column of titles if rows have it and it is none of the others, which are read as well.

    DatasetError where a column that somebody named himself is in no row.
    """
    if any(asked in row for row in rows):
        return None if asked in others else asked
    if rows and asked != TITLE_COLUMN:
        raise lacks(f"{file}: row 1", asked, rows[0], "--title-column")
    return None


def row_text(
    row: Mapping[str, Any], where: str, *, text_column: str, title_column: str | None
) -> str:
    """What the stream would make the model read of the row; "" where it has no text and no title.

    Raises DatasetError where the row lacks the text column.
    """
    text = clean_text(cell(row, text_column, where, "--text-column"), MAX_CHARS)
    title = ""
    if title_column and title_column in row:
        title = clean_text(cell(row, title_column, where, "--title-column"), MAX_CHARS)
    return model_text(title, text or title)


def cell(row: Mapping[str, Any], column: str, where: str, option: str) -> str:
    """What stands in a column, "" for nothing or NaN. Of numbers 1.0 is the same as 1."""
    if column not in row:
        raise lacks(where, column, row, option)
    value = row[column]
    if isinstance(value, list | dict):
        what = "a list" if isinstance(value, list) else "an object"
        raise DatasetError(
            f"{where}: column {column!r} holds {what}; give one text or number, or name another "
            f"column with {option}"
        )
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # What data frames write where there is no value.
    if isinstance(value, float) and math.isnan(value):
        return ""
    return "" if value is None else str(value).strip()
