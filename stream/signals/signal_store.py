"""The windows of subjects in Redis: one atomic script a micro-batch, idempotent by event."""

from __future__ import annotations

import struct
import time
from collections.abc import Collection, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from stream.names import Keys
from stream.records import Scored
from stream.signals.signal_settings import Signals
from stream.signals.windows import SHORT_SUMS, SUMS, Windows, observe

KEPT_LONG_HALF_LIVES = 4

_FIELDS = ("events", "late", "first_us", "at_us", *SUMS)
_SNAPSHOT = struct.Struct(f"<{len(_FIELDS)}d")


class Observed(NamedTuple):
    """What Redis said of a micro-batch, all at one moment.

    windows and turns: one an event; turns are places in the order of all workers. rules: those that
    have, or lately had, an alert or a wait about a subject ("<kind>:<id>"), of the subjects asked.
    """

    windows: list[dict[str, Windows]]
    turns: list[int]
    rules: dict[str, set[str]]


class SignalStore:
    """What workers fold events into. Redis errors come through as redis-py raises them."""

    def __init__(
        self, redis: Redis, keys: Keys, settings: Signals, *, replay_s: int, remembered: int
    ) -> None:
        """Answers are kept for replay_s, of the latest remembered events of each partition.

        remembered must exceed what a partition can have in work, or a redelivered event counts
        twice.
        """
        self._redis = redis
        self._keys = keys
        source = (files("stream") / "scripts" / "observe.lua").read_text()
        self._script = redis.register_script(source)
        self._settings = [
            settings.short_half_life_s,
            settings.long_half_life_s,
            settings.max_late_s,
            round(KEPT_LONG_HALF_LIVES * settings.long_half_life_s),
            replay_s,
            remembered,
            len(SUMS),
            SHORT_SUMS,
        ]

    async def observe(self, batch: Sequence[Scored], asked: Collection[str] = ()) -> Observed:
        """Fold the events in, in order; which rules know of the subjects asked.

        A redelivered event changes nothing and gets the windows and the turn it got first.
        """
        subjects = sorted(asked)
        keys, arguments = self._arguments(batch)
        keys += [self._keys.lasting(subject) for subject in subjects]
        # Few and long texts each way: redis-py takes longer over thousands of small ones than all
        # the rest of a call.
        lengths, joined, rules = await self._script(keys=keys, args=arguments)
        observed = Observed([], [], {})
        start = 0
        for length in orjson.loads(lengths):
            turn, windows = _answer(joined[start : start + length])
            observed.turns.append(turn)
            observed.windows.append(windows)
            start += length
        for subject, names in zip(subjects, rules, strict=True):
            if names:
                observed.rules[subject] = {name.decode() for name in names}
        return observed

    async def get(self, subject: str) -> Windows | None:
        """The present windows of "<kind>:<id>", None for one that was not seen lately."""
        values: list[Any] = await self._redis.hmget(self._keys.subject(subject), _FIELDS)
        if values[0] is None:
            return None
        return _from_numbers([float(value or 0) for value in values])

    def _arguments(self, batch: Sequence[Scored]) -> tuple[list[str], list[Any]]:
        subjects: dict[str, int] = {}
        partitions: dict[tuple[str, int], int] = {}
        events: list[Any] = []
        for scored in batch:
            seen = observe(scored)
            place = scored.origin.topic, scored.origin.partition
            partition = partitions.setdefault(place, len(partitions) + 1)
            named = [
                (subjects.setdefault(name, len(subjects) + 1), relevance, news)
                for name, relevance, news in seen.subjects
            ]
            names = orjson.dumps([name for name, _, _ in seen.subjects]).decode()
            events.append(
                (
                    partition,
                    scored.id,
                    seen.at_us,
                    seen.kind,
                    seen.label,
                    seen.sentiment,
                    seen.risk,
                    names,
                    named,
                )
            )
        keys = [self._keys.subject(name) for name in subjects]
        for topic, number in partitions:
            keys += self._keys.answers(topic, number)
        keys.append(self._keys.turn)
        return keys, [
            len(subjects),
            *self._settings,
            len(partitions),
            time.time_ns() // 1_000,
            *SUMS,
            orjson.dumps(events),
        ]


def _answer(answer: bytes) -> tuple[int, dict[str, Windows]]:
    """The turn, and the windows by subject."""
    head, _, body = answer.partition(b"\n")
    turn, names = orjson.loads(head)
    return turn, _windows(names, body)


def _windows(names: list[str], body: bytes) -> dict[str, Windows]:
    # The first number is a count, so its lowest byte as a double is zero; text begins with a space.
    if not body.startswith(b" "):
        return {
            name: _from_numbers(numbers)
            for name, numbers in zip(names, _SNAPSHOT.iter_unpack(body), strict=True)
        }
    numbers = [float(part) for part in body.split()]
    width = len(numbers) // len(names)
    return {
        name: _from_numbers(numbers[place * width : (place + 1) * width])
        for place, name in enumerate(names)
    }


def _from_numbers(numbers: Sequence[float]) -> Windows:
    # Redis gives sums as of the latest event.
    events, late, first_us, at_us, *sums = numbers
    return Windows(int(events), int(late), int(first_us), int(at_us), 1.0, 1.0, sums)
