"""The windows of subjects in Redis: one atomic script a micro-batch, idempotent by event."""

from __future__ import annotations

import struct
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from stream.config.signals import Signals
from stream.names import Keys
from stream.records import Scored
from stream.signals.memory import SubjectWindows
from stream.signals.windows import SHORT_SUMS, SUMS, Observation, Windows, observe

KEPT_LONG_HALF_LIVES = 4

_PACKED = struct.Struct(f"<{4 + len(SUMS)}d")
_WINDOWS = "windows"
"""The field of a subject's hash that holds them; see pack in observe.lua."""


class Observed(NamedTuple):
    """What Redis said of a micro-batch, all at one moment.

    windows, turns and before: one an event; turns are places in the order of all workers. rules:
    those that have, or lately had, an alert or a wait about a subject ("<kind>:<id>"), of the
    subjects asked. before: what rules was when the event was delivered first; None if that is now.
    """

    windows: Iterator[dict[str, Windows]]
    turns: list[int]
    rules: dict[str, set[str]]
    before: list[Mapping[str, Collection[str]] | None]


class SignalStore:
    """What workers fold events into. Redis errors come through as redis-py raises them."""

    def __init__(
        self, redis: Redis, keys: Keys, settings: Signals, *, replay_s: int, remembered: int
    ) -> None:
        """What was folded in is kept for replay_s, the latest remembered events of each partition.

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
        self._signals = settings

    async def observe(self, batch: Sequence[Scored], asked: Collection[str] = ()) -> Observed:
        """Fold the events in, in order; which rules know of the subjects asked.

        A redelivered event changes nothing and gets the windows and the turn it got first. Windows
        are worked out as they are read, and go on changing until the next event's are.
        """
        subjects = sorted(asked)
        seen = [observe(scored) for scored in batch]
        keys, arguments = self._arguments(batch, seen)
        keys += [self._keys.lasting(subject) for subject in subjects]
        # Few and long texts each way: redis-py takes longer over thousands of small ones than all
        # the rest of a call.
        answers, folds, rules, then = await self._script(keys=keys, args=arguments)
        places = orjson.loads(answers)
        known = {
            subject: {name.decode() for name in names}
            for subject, names in zip(subjects, rules, strict=True)
            if names
        }
        return Observed(
            self._windows(folds, [(fold - 1, place) for _, fold, place in places], seen),
            [turn for turn, _, _ in places],
            known,
            self._before(places, known, then),
        )

    def _before(
        self,
        places: Sequence[tuple[int, int, int]],
        known: Mapping[str, Collection[str]],
        then: Sequence[bytes],
    ) -> list[Mapping[str, Collection[str]] | None]:
        """Of each event, by its fold; of a repetition within this call, what is known now."""
        if not then and places and places[-1][2] == len(places):
            return [None] * len(places)  # all are new, as nearly always
        start = len(self._keys.lasting(""))
        rules = [known] + [
            {key[start:]: names for key, names in orjson.loads(one or b"{}").items()}
            for one in then
        ]
        found: list[Mapping[str, Collection[str]] | None] = []
        done = 0
        for _, fold, place in places:
            new = fold == 1 and place > done
            found.append(None if new else rules[fold - 1])
            done += new
        return found

    def _windows(
        self, folds: Sequence[bytes], places: Sequence[tuple[int, int]], seen: Sequence[Observation]
    ) -> Iterator[dict[str, Windows]]:
        """Of each event, by the fold that it was in and its place there; the first is of seen."""
        opened: dict[int, _Fold] = {}
        for number, place in places:
            fold = opened.get(number)
            if fold is None or fold.done >= place:
                fold = _Fold(folds[number], None if number else seen, self._signals)
                opened[number] = fold
            while fold.done < place:
                found = fold.step()
            yield found

    async def get(self, subject: str) -> Windows | None:
        """The present windows of "<kind>:<id>", None for one that was not seen lately."""
        packed: Any = await self._redis.hget(self._keys.subject(subject), _WINDOWS)
        return None if packed is None else _unpacked(packed, 0)[0]

    def _arguments(
        self, batch: Sequence[Scored], seen: Sequence[Observation]
    ) -> tuple[list[str], list[Any]]:
        subjects: dict[str, int] = {}
        partitions: dict[tuple[str, int], int] = {}
        events: list[Any] = []
        for scored, one in zip(batch, seen, strict=True):
            place = scored.origin.topic, scored.origin.partition
            partition = partitions.setdefault(place, len(partitions) + 1)
            named = [
                (subjects.setdefault(name, len(subjects) + 1), relevance, news)
                for name, relevance, news in one.subjects
            ]
            events.append(
                (
                    partition,
                    scored.id,
                    one.at_us,
                    one.kind,
                    one.label,
                    one.sentiment,
                    one.risk,
                    named,
                )
            )
        keys = [self._keys.subject(name) for name in subjects]
        for topic, number in partitions:
            keys += self._keys.seen(topic, number)
        keys.append(self._keys.turn)
        return keys, [
            len(subjects),
            *self._settings,
            len(partitions),
            time.time_ns() // 1_000,
            self._keys.folds,
            orjson.dumps(list(subjects)),
            orjson.dumps(events),
        ]


class _Fold:
    """The events that one call folded in, added to what their subjects were before, one a step."""

    def __init__(
        self, content: bytes, seen: Sequence[Observation] | None, settings: Signals
    ) -> None:
        """Content as observe.lua keeps it; seen are the events of its call where it lacks them."""
        places, names, events, before = content.split(b"\n", 3)
        subjects = orjson.loads(names)
        seen = seen or [_observation(event, subjects) for event in orjson.loads(events)]
        fresh = orjson.loads(places)
        self._events = [seen[place - 1] for place in fresh] if fresh else seen
        known: dict[str, Windows] = {}
        at = 0
        for name in subjects:
            known[name], at = _unpacked(before, at)
        self._windows = SubjectWindows(settings, subjects=known)
        self.done = 0

    def step(self) -> dict[str, Windows]:
        """Add the next event; the windows of its subjects, which go on changing."""
        self.done += 1
        return self._windows.fold(self._events[self.done - 1])


def _observation(event: Sequence[Any], subjects: Sequence[str]) -> Observation:
    _, _, at_us, kind, label, sentiment, risk, named = event
    names = [(subjects[number - 1], relevance, news) for number, relevance, news in named]
    return Observation(at_us, kind, label, sentiment, risk, names)


def _unpacked(content: bytes, at: int) -> tuple[Windows, int]:
    """The windows packed there, and where they end."""
    if content[at : at + 1] == b"b":
        numbers: Sequence[float] = _PACKED.unpack_from(content, at + 1)
        end = at + 1 + _PACKED.size
    else:
        end = content.index(b"\n", at) + 1
        numbers = [float(part) for part in content[at + 1 : end].split()]
    events, late, first_us, at_us, *sums = numbers
    # Redis keeps sums as of the latest event.
    return Windows(int(events), int(late), int(first_us), int(at_us), 1.0, 1.0, sums), end
