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
from stream.subjects.novelty import Print, fingerprint, marked

EVENTS_A_CALL = 500
"""Redis does nothing else while a script runs; so many events take it some milliseconds."""
SHORTEST_KEEP_S = 86_400


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
        self._settings: list[Any] = [
            round(settings.window_s * 1_000_000),
            settings.similarity,
            max(round(settings.window_s), SHORTEST_KEEP_S),
            keys.copies,
            keys.novelty_answers,
            remembered,
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
            answers = await self._call([self._event(records[place], one) for place, one in some])
            for (place, _), novelty, first in zip(some, answers[::2], answers[1::2], strict=True):
                copy_of = first.partition(":")[2]
                records[place] = marked(records[place], float(novelty), copy_of)
        return records

    def _event(self, scored: Scored, one: Print) -> list[Any]:
        return [
            f"{scored.source}:{scored.id}",
            round(scored.time.timestamp() * 1_000_000),
            one.sketch,
            one.facts,
            [str(slot % self._slots) for slot in one.slots],
            f"{scored.origin.topic}:{scored.origin.partition}",
            str(scored.origin.offset),
        ]

    async def _call(self, events: list[list[Any]]) -> list[str]:
        # One JSON text each way: redis-py takes longer over thousands of small arguments than
        # all the rest of a call.
        arguments = [*self._settings, orjson.dumps(events)]
        answers: list[str] = orjson.loads(
            await self._script(keys=[self._keys.novelty], args=arguments)
        )
        return answers


async def count_copies(redis: Redis, keys: Keys, events: Sequence[tuple[str, str]]) -> list[int]:
    """How many copies were seen of each event (source, id); of hundreds, about 1 % off.

    A count is kept as long as a copy may come: for novelty.window_s after the last, a day at least.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        for source, event_id in events:
            pipeline.pfcount(keys.copies_of(source, event_id))
        return [int(count) for count in await pipeline.execute()]
