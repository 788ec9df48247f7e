"""What commands print: one JSON object for machines, a table for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stream.ingest.text import printable

CELL_CHARS = 300
TEXT_CHARS = 2_000
WHOLE_NAME_CHARS = 32
WHOLE_WORD_CHARS = 14
"""Of headings, states, severities and reasons, which a table does not break; names only at need."""
PIPED_WIDTH = 10_000
"""What reads a pipe has no width, and a row in one line can be searched for."""


def _width() -> int | None:
    """None lets the terminal say it, or COLUMNS."""
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED_WIDTH


stdout = Console(width=_width())
stderr = Console(stderr=True)

_encoder = msgspec.json.Encoder()


def json_object(value: Any) -> None:
    """One JSON object and a line end on stdout, and nothing else there."""
    sys.stdout.buffer.write(_encoder.encode(value) + b"\n")
    sys.stdout.buffer.flush()


def record(title: str, value: Any, *, as_json: bool) -> None:
    """One record: as JSON, or a row a field that holds something, a row each of what is several."""
    if as_json:
        json_object(value)
        return
    grid = Table(title=Text(printable(title)), show_header=False, title_justify="left")
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, field in msgspec.to_builtins(value, builtin_types=(datetime,)).items():
        if field in (None, "", [], {}):
            continue
        several = isinstance(field, (list, tuple)) and any(isinstance(one, dict) for one in field)
        for place, one in enumerate(field if several else [field]):
            grid.add_row(Text("" if place else printable(name)), Text(whole(one)))
    stdout.print(grid)


def rows(title: str, pairs: Iterable[tuple[str, str]]) -> None:
    """A name and a text a row, the text whole; an empty name goes on with the one before."""
    stdout.print(Text(printable(title), style="table.title"))
    shown = [(Text(printable(name)), Text(printable(text))) for name, text in pairs]
    if stdout.width >= PIPED_WIDTH:
        # A grid would fill every row with blanks up to the longest one.
        longest = max((name.cell_len for name, _ in shown), default=0)
        for name, text in shown:
            name.pad_right(longest + 1 - name.cell_len)
            stdout.print(Text.assemble(" ", name, " ", text), soft_wrap=True)
        return
    grid = Table(show_header=False, box=None)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in shown:
        grid.add_row(name, text)
    stdout.print(grid)


def table(
    title: str,
    rows: Sequence[Any],
    *,
    columns: Sequence[str],
    least: Sequence[str] = (),
    shown: int | None = None,
    rest: str = "--json has all",
) -> None:
    """A row a record; what names it, in the first column, stays whole unless it is long.

    Where words would have to be broken, the columns of least are left out, the first first.
    shown: how many rows at most; the title says how many there are, rest how to see the others.
    """
    records = [msgspec.to_builtins(row, builtin_types=(datetime,)) for row in rows[:shown]]
    cells = {column: [_cell(fields[column]) for fields in records] for column in columns}
    left_out: list[str] = []
    while (widths := _widths(cells)) is None and len(left_out) < len(least):
        left_out.append(least[len(left_out)])
        del cells[left_out[-1]]
    widths = widths or _widths(cells, whole_words=False)
    count = f"{len(records)} of {len(rows)}" if len(records) < len(rows) else f"{len(rows)}"
    # Not as the grid's own title, which breaks where the rows are short.
    stdout.print(Text(f"{title}: {count}", style="table.title"))
    if not records:
        return
    grid = Table()
    for column, width in zip(cells, widths or [], strict=True):
        grid.add_column(column, overflow="fold", width=width)
    for row in zip(*cells.values(), strict=True):
        grid.add_row(*map(Text, row))
    stdout.print(grid)
    if len(records) < len(rows):
        stdout.print(f"… and {len(rows) - len(records)} more; {rest}")
    if left_out:
        stdout.print(f"no room for {', '.join(left_out)}; a wider terminal or --json shows them")


def counted(number: int, noun: str) -> str:
    """With the noun in its number: 1 alert, 2 alerts."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def plain(value: Any) -> str:
    """One cell. Whatever was in an event must not steer the terminal, so controls are shown."""
    text = _flat(value)
    return printable(f"{text[:CELL_CHARS]}…" if len(text) > CELL_CHARS else text)


def whole(value: Any) -> str:
    """The same of what a person asked to see: each text in it as long as texts of ours may be."""
    return printable(_flat(value, TEXT_CHARS))


def _cell(value: Any) -> str:
    """plain, of which no word takes more than half a line: ids may have hundreds of characters."""
    half = max(WHOLE_NAME_CHARS, stdout.width // 2)
    return plain(" ".join(_middle_cut(word, half) for word in _flat(value).split(" ")))


def _middle_cut(word: str, most: int) -> str:
    return word if len(word) <= most else f"{word[: most // 2]}…{word[1 - most // 2 :]}"


def _flat(value: Any, most: int | None = None) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flat(item, most)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_flat(item, most) for item in value)
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
    elif isinstance(value, datetime):
        # In two words, so that a narrow column may break between them.
        text = f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    else:
        text = "" if value is None else str(value)
    return f"{text[:most]}…" if most and len(text) > most else text


def _widths(cells: dict[str, list[str]], *, whole_words: bool = True) -> list[int] | None:
    """As even as the texts and the least of each column let them be; None where no room is left."""
    room = stdout.width - 3 * len(cells) - 1
    full = [max(map(cell_len, (column, *texts))) for column, texts in cells.items()]
    for longest in (WHOLE_NAME_CHARS, WHOLE_WORD_CHARS) if whole_words else (0,):
        least = [_least(*column, longest) if longest else 1 for column in cells.items()]
        if full[0] <= WHOLE_NAME_CHARS:
            least[0] = full[0]
        for level in range(max(full), 0, -1):
            widths = [max(low, min(high, level)) for low, high in zip(least, full, strict=True)]
            if sum(widths) <= room:
                return widths
    return None if whole_words else least


def _least(column: str, texts: Iterable[str], longest: int) -> int:
    """What its heading and its words take, but for words above longest, which may be broken."""
    lengths = (cell_len(word) for text in texts for word in text.split(" "))
    words = [length for length in lengths if length <= longest]
    return max([*map(len, column.split(" ")), *words])
