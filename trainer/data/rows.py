"""The rows of a JSON-lines, TSV or CSV file as they stand, or the row that can't be read."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.errors import DatasetError

# CFPB narratives run to 14,000 characters, quoted in one field.
csv.field_size_limit(10_000_000)
# Tells Excel what parts the columns.
HINT = "sep="
SEPARATORS = {";": "a semicolon", ",": "a comma", "\t": "a tab"}


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines, TSV or CSV file, told by its ending; the latter with a header."""
    content = read_text(file)
    ending = file.suffix.lower()
    if ending == ".jsonl":
        lines = enumerate(content.split("\n"), 1)
        return [_json_row(file, line, number) for number, line in lines if line.strip()]
    if ending == ".tsv":
        # Tabs part the columns and nothing is quoted, so that a sentence may begin with a quote.
        return _table(file, content, delimiter="\t", quoting=csv.QUOTE_NONE)
    if ending == ".csv":
        # Strict: a quote that is never closed would else make one text of the rest of the file.
        return _table(file, content, strict=True)
    raise DatasetError(f"{file}: ends in none of .jsonl, .tsv, .csv; rename it by what it holds")


def read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{file}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{file}: is not UTF-8 text; convert it first") from None


def lacks(where: str, column: str, row: Mapping[str, Any], option: str) -> DatasetError:
    """That a row has no such column, which another value of the option may mend."""
    names = [name for name in row if name]
    shown = ", ".join(name if name == name.strip() else repr(name) for name in names)
    hint = _parted_otherwise(names[0]) if len(names) == 1 else ""
    return DatasetError(
        f"{where} has no column {column!r}, only {shown}"
        + (hint or f"; name the right one with {option}")
    )


def _parted_otherwise(header: str) -> str:
    """What to say of a header that is one column and holds another separator, else nothing."""
    return next(
        (
            f"; its columns are parted by {words}, where a .csv has commas and a .tsv tabs"
            for separator, words in SEPARATORS.items()
            if separator in header
        ),
        "",
    )


def is_whole_text(value: Any) -> bool:
    """Whether all strings in a JSON value are text: half of a surrogate pair is no character."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_row(file: Path, line: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if not isinstance(row, dict):
        raise DatasetError(f"{file}: line {number} is no JSON object")
    if "\\u" in line and not is_whole_text(row):
        raise DatasetError(
            f"{file}: line {number} holds half of a character (a lone surrogate, \\ud800 to "
            "\\udfff), which is no text; mend it or leave the line out"
        )
    return row


def _table(file: Path, content: str, **dialect: Any) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(content), restkey="", **dialect)
    rows: list[dict[str, Any]] = []
    header, begins = content.partition("\n")[0], 1
    try:
        names = reader.fieldnames or ()
        if content.strip() and (not any(names) or header.lower().startswith(HINT)):
            raise DatasetError(
                f"{file}: begins with the line {header!r}, where the names of the columns should "
                "stand; remove it"
            )
        _refuse_twice(file, names)
        begins = reader.line_num + 1
        for row in reader:
            rows.append(row)
            # What follows a separator that nobody meant would be another column's value.
            if isinstance(beyond := row.get(""), list) and any(map(str.strip, beyond)):
                raise DatasetError(
                    f"{file}: row {len(rows)}, which begins in line {begins}, has more fields than "
                    "there are columns; put quotes around a text with commas (.csv), and take tabs "
                    "out of a text (.tsv)"
                )
            begins = reader.line_num + 1
    except csv.Error as error:
        otherwise = "" if "," in header else _parted_otherwise(header)
        raise DatasetError(
            f"{file}: row {len(rows) + 1}, which begins in line {begins}, can't be read ({error})"
            + (otherwise or "; close each quoted field, and write a quote inside it twice")
        ) from None
    return rows


def _refuse_twice(file: Path, names: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice:
        raise DatasetError(
            f"{file}: has the column {twice[0]!r} twice; rename one of them, or leave it out"
        )
