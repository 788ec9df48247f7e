"""Reading back what the model said: scored records from a file or from their topic, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TypeVar

import msgspec

from stream.config.settings import Settings
from stream.connections.topic_log import read_log
from stream.files.lines import InputError, every_line
from stream.records import DECODE_ERRORS, Scored, decode_scored

T = TypeVar("T")


class _Turn(msgspec.Struct):
    scored_at: datetime
    turn: tuple[int, int] | None = None


def place_of(one: Scored | _Turn) -> float:
    """Where a record stands in the order in which all workers together judged."""
    # Turns are no lower than a worker's clock in microseconds, and seldom higher.
    return one.turn[0] if one.turn else one.scored_at.timestamp() * 1e6


_decode_turn = msgspec.json.Decoder(_Turn).decode


def read_file(path: Path) -> Iterator[Scored]:
    """The scored records of a JSON-lines file, plain or .gz. Raises InputError naming the line.

    In the order of the file, as `bellwether score` writes it. Where the first record has a turn, in
    that of their turns, as read_topic does; the file is held in memory then.
    """
    lines = every_line(path)
    first = next(lines, None)
    if first is None:
        return
    lines = chain([first], lines)
    if _has_turn(first[-1]):
        yield from _by_turn(
            [(f"input file {path}, line {number}", line) for _, number, line in lines]
        )
        return
    for _, number, line in lines:
        # Not by _decode: a backtest feels a call and a text for each record.
        try:
            scored = decode_scored(line)
        except DECODE_ERRORS as error:
            raise _no_record(f"input file {path}, line {number}", error) from None
        yield scored


async def read_topic(
    settings: Settings,
    since: datetime | None,
    until: datetime | None,
    found: Callable[[int], None] = lambda _count: None,
) -> AsyncIterator[Scored]:
    """What is on the scored topic now and was written from since to until, by Kafka's clock.

    In the order of their turns, in which all workers together judged; those without one lie where
    scored_at says, in the order of their partition where it is the same. All of them are held in
    memory, as they were written, and found is told how many there are before the first one comes.
    Raises StartError without Kafka, InputError for what is no scored record.
    """
    held: list[tuple[str, bytes]] = []
    end_ms = until.timestamp() * 1_000 if until else float("inf")
    async for record in read_log(settings, settings.topics.scored, since=since):
        if record.timestamp < end_ms and record.value is not None:
            where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
            held.append((where, record.value))
    found(len(held))
    for scored in _by_turn(held):
        yield scored


def _has_turn(content: bytes) -> bool:
    try:
        return _decode_turn(content).turn is not None
    except DECODE_ERRORS:
        return False  # who decodes all of it says what is wrong


def _by_turn(held: list[tuple[str, bytes]]) -> Iterator[Scored]:
    """Records in the order of their turns, those of one turn as they are given.

    Each is given with where it was read. Empties held. Raises InputError.
    """
    placed = [
        (place_of(_decode(_decode_turn, where, value)), where, value) for where, value in held
    ]
    held.clear()
    placed.sort(key=lambda one: one[0])
    for _, where, value in placed:
        yield _decode(decode_scored, where, value)


def _decode(decode: Callable[[bytes], T], where: str, content: bytes) -> T:
    try:
        return decode(content)
    except DECODE_ERRORS as error:
        raise _no_record(where, error) from None


def _no_record(where: str, error: Exception) -> InputError:
    return InputError(f"{where}: is no scored record ({error}); `bellwether score` writes them")
