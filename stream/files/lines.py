"""The lines of input files: read one by one, and of which source each is."""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import orjson

from stream.ingest.dead_letter import DeadLetter
from stream.records import utc_now

FIRST_LINES = 1_000
SEPARATORS = frozenset(",;\t")
GZIP = b"\x1f\x8b"
READ_BYTES = 65_536


class InputError(Exception):
    """An input file can't be read or used; the message names it."""


def read_lines(paths: Sequence[Path]) -> Iterator[tuple[Path, int, bytes]]:
    """every_line of files of events.

    Raises InputError also for a file of another kind, without a JSON object among its lines; of a
    long one the first FIRST_LINES tell.
    """
    for path in paths:
        yield from _usable(path, every_line(path))


def every_line(path: Path) -> Iterator[tuple[Path, int, bytes]]:
    """(file, line number from 1, line) of every line that is not blank; .gz is unpacked."""
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, 1):
                # Some editors begin UTF-8 with a byte-order mark.
                if stripped := line.removeprefix(BOM_UTF8).strip():
                    yield path, number, stripped
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error


def _usable(
    path: Path, lines: Iterator[tuple[Path, int, bytes]]
) -> Iterator[tuple[Path, int, bytes]]:
    held: list[tuple[Path, int, bytes]] = []
    for one in lines:
        held.append(one)
        if json_object(one[-1]) is not None:
            yield from held
            yield from lines
            return
        if len(held) == FIRST_LINES:
            break
    if held:
        none = "no line" if len(held) < FIRST_LINES else f"none of the first {FIRST_LINES} lines"
        cause = _cause(held[0][-1])
        raise InputError(
            f"input file {path}: {none} is a JSON object; {cause}; give one JSON object a line"
        )


def json_object(line: bytes) -> dict[str, Any] | None:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def _cause(first: bytes) -> str:
    if first.startswith(GZIP):
        return "it looks packed, and only a name that ends in .gz is unpacked"
    if first.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in first:
        return "it looks like UTF-16, and UTF-8 is needed"
    try:
        text = first.decode()
    except UnicodeDecodeError:
        return "it is not in UTF-8"
    # What else begins so is a section of TOML.
    if text.startswith("[") and not text.lstrip("[")[:1].isalpha():
        return "it looks like a JSON array (jq -c '.[]' takes it apart)"
    if text.startswith("{"):
        return (
            "its first line is broken JSON"
            if text.endswith("}")
            else "it looks like JSON over several lines (jq -c . writes it on one)"
        )
    return f"it looks like {'CSV' if SEPARATORS & set(text) else 'plain text'}"


def check_readable(paths: Sequence[Path]) -> None:
    """Raises InputError where read_lines would fail at once, for commands with much to do before.

    What a pipe or a terminal holds could not be read again.
    """
    for path in paths:
        if not path.is_fifo() and not path.is_char_device():
            next(read_lines([path]), None)


def count_lines(path: Path) -> int:
    """How many lines there are, blank ones included, to show how far a command has come."""
    count, last = 0, b"\n"
    try:
        with _open(path) as content:
            # Line by line takes half as long again.
            while block := content.read(READ_BYTES):
                count += block.count(b"\n")
                last = block[-1:]
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(path, error) from error
    return count + (last != b"\n")


def _unreadable(path: Path, error: OSError | EOFError | zlib.error) -> InputError:
    # What the system says, without its number and the name again; of a damaged .gz, what gzip says.
    why = getattr(error, "strerror", None) or error
    return InputError(f"input file {path} can't be read: {why}")


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path))
    return path.open("rb", buffering=READ_BYTES)


class Line(NamedTuple):
    """A line of a file in the shape of a Kafka record; the offset is its place in the file."""

    topic: str
    offset: int
    value: bytes
    key: bytes | None = None
    partition: int = 0
    timestamp: int = -1
    headers: tuple[tuple[str, bytes], ...] = ()


def kind_of(fields: Mapping[str, Any], kinds: Collection[str]) -> str | None:
    """Of which of the configured kinds a line of a file is; None where it does not say.

    Where there is one kind it need not say: a topic's records don't, and files are made of them.
    """
    said = fields.get("source")
    if said is None or (isinstance(said, str) and not said.strip()):
        return next(iter(kinds)) if len(kinds) == 1 else None
    return said if isinstance(said, str) and said in kinds else None


def unknown_source(line: Line, kinds: Collection[str]) -> DeadLetter:
    """For a line that is of none of the configured kinds."""
    known = sorted(kinds)
    return DeadLetter.of(
        line,
        utc_now(),
        reason="unknown_source",
        field="source",
        detail=f"source must be {'one of ' * (len(known) > 1)}{', '.join(known)}; add it to the "
        f'line, such as "source": "{known[0]}"',
    )
