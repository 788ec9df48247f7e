"""What commands print: one JSON object for machines, a table for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.ingest.text import printable

stdout = Console()
stderr = Console(stderr=True)
CELL_CHARS = 300
WHOLE_NAME_CHARS = 32

_encoder = msgspec.json.Encoder()


def json_object(value: Any) -> None:
    """One JSON object and a line end on stdout, and nothing else there."""
    sys.stdout.buffer.write(_encoder.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def record(title: str, value: Any, *, as_json: bool) -> None:
    """One record: as JSON, or a row a field."""
    if as_json:
        json_object(value)
        return
    grid = Table(title=Text(printable(title)), show_header=False, title_justify="left")
    for name, field in msgspec.to_builtins(value).items():
        grid.add_row(Text(printable(name)), Text(plain(field)))
    stdout.print(grid)


def rows(title: str, pairs: Iterable[tuple[str, str]]) -> None:
    """A name and a text a row, the text whole; an empty name goes on with the one before."""
    grid = Table(title=Text(printable(title)), show_header=False, title_justify="left", box=None)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in pairs:
        grid.add_row(Text(printable(name)), Text(printable(text)))
    stdout.print(grid)


def table(title: str, rows: Sequence[Any], *, columns: Sequence[str]) -> None:
    """A row a record; what names it, in the first column, stays whole unless it is long."""
    grid = Table(title=f"{title}: {len(rows)}", title_justify="left")
    records = [msgspec.to_builtins(row) for row in rows]
    cells = [[plain(fields[column]) for column in columns] for fields in records]
    short = all(len(row[0]) <= WHOLE_NAME_CHARS for row in cells)
    for column in columns:
        grid.add_column(column, overflow="fold", no_wrap=short and column == columns[0])
    for row in cells:
        grid.add_row(*map(Text, row))
    stdout.print(grid)


def plain(value: Any) -> str:
    """One cell. Whatever was in an event must not steer the terminal, so controls are shown."""
    if isinstance(value, dict):
        text = ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    elif isinstance(value, (list, tuple)):
        text = ", ".join(plain(item) for item in value)
    elif isinstance(value, bytes):
        text = value.decode(errors="replace")
    else:
        text = "" if value is None else str(value)
    if len(text) > CELL_CHARS:
        text = f"{text[:CELL_CHARS]}…"
    return printable(text)
