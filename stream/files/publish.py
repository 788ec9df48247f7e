"""JSON lines from files into the source topics, at a steady rate or as fast as Kafka takes them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, RecordSink
from stream.files.lines import Line, json_object, kind_of, unknown_source

BATCH_LINES = 256
TICK_S = 0.05


class Addresser:
    """Decides which topic a line belongs to: by its `source`, else by what is wrong with it.

    refused counts the dead letters made here, by reason.
    """

    def __init__(self, settings: Settings) -> None:
        self._topics: dict[str, str] = {
            source.kind: source.topic for source in reversed(settings.sources)
        }
        self._fallback = settings.sources[0].topic
        self._dead_letter = settings.topics.dead_letter
        self.refused: Counter[str] = Counter()

    def address(self, path: Path, number: int, line: bytes) -> Outgoing:
        """The line unchanged on its source topic, keyed by its id.

        A line that is no JSON object goes to the first source as it is, where the worker turns it
        into a dead letter; an object that is of no configured kind is a dead letter here.
        """
        fields = json_object(line)
        if fields is None:
            return Outgoing(self._fallback, None, line)
        kind = kind_of(fields, self._topics)
        identity = fields.get("id")
        key = str(identity).encode(errors="replace") if isinstance(identity, str | int) else None
        if kind is not None:
            return Outgoing(self._topics[kind], key, line)
        letter = unknown_source(Line(path.name, number, line, key), self._topics)
        self.refused[letter.reason] += 1
        return Outgoing(self._dead_letter, letter.key, letter.encode())


async def publish(
    lines: Iterable[tuple[Path, int, bytes]],
    *,
    addresser: Addresser,
    outbox: RecordSink,
    rate: float | None,
    published: Callable[[Sequence[Outgoing]], None],
    room: Callable[[], int] = lambda: BATCH_LINES,
) -> None:
    """Send every line; published hears of each confirmed batch.

    rate is in lines a second (None: no limit). room says how many more lines may be under way.
    """
    async for batch in _paced(lines, rate, room):
        outgoing = [addresser.address(*line) for line in batch]
        await outbox.send(outgoing)
        published(outgoing)


async def _paced(
    lines: Iterable[tuple[Path, int, bytes]], rate: float | None, room: Callable[[], int]
) -> AsyncIterator[list[tuple[Path, int, bytes]]]:
    began = time.monotonic()
    sent = 0
    rest = iter(lines)
    while True:
        due = BATCH_LINES
        if rate is not None:
            due = int((time.monotonic() - began) * rate) + 1 - sent
        size = min(due, BATCH_LINES, room())
        if size <= 0:
            await asyncio.sleep(TICK_S if rate is None else min(TICK_S, 1 / rate))
            continue
        batch = [line for _, line in zip(range(size), rest, strict=False)]
        if not batch:
            return
        sent += len(batch)
        yield batch
