"""Reading back what the model said: scored records from a file or from their topic, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path

import msgspec

from stream.operations.topic_log import read_log
from stream.publish import InputError, every_line
from stream.records import DECODE_ERRORS, Scored, decode_scored
from stream.settings import Settings


class _Turn(msgspec.Struct):
    scored_at: datetime
    turn: tuple[int, int] | None = None

    @property
    def place(self) -> float:
        """Turns are no lower than a worker's clock in microseconds, and seldom higher."""
        return self.turn[0] if self.turn else self.scored_at.timestamp() * 1e6


_decode_turn = msgspec.json.Decoder(_Turn).decode


def read_file(path: Path) -> Iterator[Scored]:
    """The scored records of a JSON-lines file, plain or .gz. Raises InputError naming the line."""
    for _, number, line in every_line(path):
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
    held: list[tuple[float, str, bytes]] = []
    end_ms = until.timestamp() * 1_000 if until else float("inf")
    async for record in read_log(settings, settings.topics.scored, since=since):
        if record.timestamp < end_ms and record.value is not None:
            where = f"{record.topic}, partition {record.partition}, offset {record.offset}"
            try:
                held.append((_decode_turn(record.value).place, where, record.value))
            except DECODE_ERRORS as error:
                raise _no_record(where, error) from None
    held.sort(key=lambda one: one[0])
    found(len(held))
    for _, where, value in held:
        try:
            scored = decode_scored(value)
        except DECODE_ERRORS as error:
            raise _no_record(where, error) from None
        yield scored


def _no_record(where: str, error: Exception) -> InputError:
    return InputError(f"{where}: is no scored record ({error}); `bellwether score` writes them")
