"""Near-duplicates in Redis: which event is a copy of which; one atomic script a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import orjson
from redis.asyncio import Redis

from stream.config.subjects import Novelty
from stream.names import Keys
from stream.records import Scored
from stream.signals.windows import span_us, time_us
from stream.subjects.novelty import SLOT_HASHES, Print, fingerprint, marked

EVENTS_A_CALL = 500
"""Redis does nothing else while a script runs; so many events take it some milliseconds."""
SHORTEST_KEEP_S = 86_400

_NEW = "1.0000", ""


class CopyStore:
    """What workers compare events with. Redis errors come through as redis-py raises them."""

    def __init__(
        self, redis: Redis, keys: Keys, settings: Novelty, *, replay_s: int, remembered: int
    ) -> None:
        """Answers are kept for replay_s, of the latest remembered events of each partition."""
        self._redis = redis
        self._keys = keys
        self._slots = settings.remember
        source = (files("stream") / "scripts" / "link_copies.lua").read_text()
        self._script = redis.register_script(source)
        self._compares = settings.window_s > 0
        self._remembered = remembered
        self._constants: list[Any] = [
            span_us(settings.window_s),
            settings.similarity,
            max(round(settings.window_s), SHORTEST_KEEP_S),
            keys.copies,
            replay_s,
        ]

    async def mark(self, batch: Sequence[Scored]) -> list[Scored]:
        """The records with their novelty, copies with the id of the first; in the same order.

        A redelivered event gets the answer it got before and counts nothing twice.
        """
        records = list(batch)
        if not self._compares:
            return records
        prints = [(place, fingerprint(scored)) for place, scored in enumerate(records)]
        compared = [(place, one) for place, one in prints if one is not None]
        for start in range(0, len(compared), EVENTS_A_CALL):
            some = compared[start : start + EVENTS_A_CALL]
            told = await self._call([(records[place], one) for place, one in some])
            for at, (place, _) in enumerate(some, 1):
                novelty, first = told.get(at, _NEW)
                copy_of = first.partition(":")[2]
                records[place] = marked(records[place], float(novelty), copy_of)
        return records

    async def _call(self, events: Sequence[tuple[Scored, Print]]) -> dict[int, tuple[str, str]]:
        """By place from 1: novelty and the name of the first event, of all but new ones."""
        partitions: dict[str, str] = {}
        entries: list[bytes] = []
        columns: tuple[list[Any], ...] = ([], [], [], [], [])
        lengths, slots, numbers, places, asked = columns
        for scored, one in events:
            name = f"{scored.source}:{scored.id}"
            origin = scored.origin
            at_us = time_us(scored.time)
            entries.append(f"{at_us} {one.sketch} {one.facts} {name}".encode())
            lengths.append(len(entries[-1]))
            own = [str(slot % self._slots) for slot in one.slots]
            slots += (own + own[-1:] * SLOT_HASHES)[:SLOT_HASHES]
            key = f"{self._keys.novelty_answers}{origin.topic}:{origin.partition}"
            numbers.append(partitions.setdefault(key, str(len(partitions) + 1)))
            places.append(str(origin.offset % self._remembered))
            asked.append(f"@{origin.offset} {len(name.encode())} {name} ")
        # Few texts each way: redis-py takes longer over thousands of small arguments than all the
        # rest of a call.
        told: list[Any] = orjson.loads(
            await self._script(
                keys=[self._keys.novelty, *partitions],
                args=[*self._constants, b"".join(entries), orjson.dumps(columns)],
            )
        )
        return {
            place: (novelty, first)
            for place, novelty, first in zip(told[::3], told[1::3], told[2::3], strict=True)
        }


async def count_copies(redis: Redis, keys: Keys, events: Sequence[tuple[str, str]]) -> list[int]:
    """How many copies were seen of each event (source, id); of hundreds, about 1 % off.

    A count is kept as long as a copy may come: for novelty.window_s after the last, a day at least.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        for source, event_id in events:
            pipeline.pfcount(keys.copies_of(source, event_id))
        return [int(count) for count in await pipeline.execute()]
