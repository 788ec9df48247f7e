"""The windows of subjects in Redis: one atomic script a micro-batch, idempotent by event."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from stream.config.signals import Signals
from stream.names import Keys
from stream.records import Scored
from stream.signals.packed import Fold, alone, kept_events, unpacked
from stream.signals.windows import Observation, Windows, observe

KEPT_LONG_HALF_LIVES = 4

_Rules = Mapping[str, Collection[str]]


class Observed(NamedTuple):
    """What Redis said of a micro-batch, of all that is new at one moment.

    windows, turns and before: one an event; turns are places in the order of all workers. rules:
    those that have, or lately had, an alert or a wait about a subject ("<kind>:<id>"), of the
    subjects asked. before: what rules was when the event was delivered first; None if that is now.
    """

    windows: Iterator[dict[str, Windows]]
    turns: list[int]
    rules: dict[str, set[str]]
    before: list[_Rules | None]


class _Call(NamedTuple):
    """A call that folded events in: those, to be worked out again, and the rules it was told of."""

    fold: Callable[[], Fold]
    rules: _Rules


class _Answer(NamedTuple):
    """Where an event went: its turn, the call that folded it in, and its place there, from 1."""

    turn: int
    call: _Call
    place: int


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
        self._constants = [
            settings.short_half_life_s * 1e6,
            settings.long_half_life_s * 1e6,
            settings.max_late_s * 1e6,
            round(KEPT_LONG_HALF_LIVES * settings.long_half_life_s),
            replay_s,
            remembered,
        ]
        self._settings = settings

    async def observe(self, batch: Sequence[Scored], asked: Collection[str] = ()) -> Observed:
        """Fold the events in, in order; which rules know of the subjects asked.

        A redelivered event changes nothing and gets the windows and the turn it got first. Windows
        are worked out as they are read, and go on changing until the next event's are. Lua can hand
        Redis some 3,000 events of a partition at a time, and no more.
        """
        seen = [observe(scored) for scored in batch]
        first: dict[tuple[str, int, str], int] = {}
        places = [
            first.setdefault((one.origin.topic, one.origin.partition, one.id), place)
            for place, one in enumerate(batch)
        ]
        answers, rules = await self._fold_in(batch, seen, list(first.values()), sorted(asked))
        found = [answers[place] for place in places]
        return Observed(
            _windows(found),
            [one.turn for one in found],
            rules,
            [
                None if one.call.rules is rules and place == at else one.call.rules
                for at, (place, one) in enumerate(zip(places, found, strict=True))
            ],
        )

    async def get(self, subject: str) -> Windows | None:
        """The present windows of "<kind>:<id>", None for one that was not seen lately."""
        packed: Any = await self._redis.hget(self._keys.subject(subject), "windows")
        return None if packed is None else unpacked(packed)

    async def _fold_in(
        self,
        batch: Sequence[Scored],
        seen: Sequence[Observation],
        new: list[int],
        subjects: Sequence[str],
    ) -> tuple[dict[int, _Answer], dict[str, set[str]]]:
        """Answers to the events at new places; which rules know of the subjects.

        Only Redis knows whether they are new, and too late. Nearly always they are as expected and
        one call is all; else the next one is told what the last one said.
        """
        answers: dict[int, _Answer] = {}
        ahead: dict[str, int] = {}
        while True:
            fresh = [seen[place] for place in new]
            names, windows = alone(fresh, ahead, self._settings)
            keys, arguments = self._arguments(
                [batch[place] for place in new], fresh, names, windows
            )
            keys += [self._keys.lasting(subject) for subject in subjects]
            done, about, *told = await self._script(keys=keys, args=arguments)
            rules = {
                subject: {name.decode() for name in some}
                for subject, some in zip(subjects, about, strict=True)
                if some
            }
            if done == b"late":
                ahead.update((names[number - 1], at_us) for number, at_us in orjson.loads(told[0]))
            elif done == b"known":
                answers |= self._given_before(new, *told)
                new = [place for place in new if place not in answers]
                if not new:
                    return answers, rules
            else:
                turn, before = told
                call = _Call(partial(Fold, names, fresh, before, self._settings), rules)
                for at, place in enumerate(new):
                    answers[place] = _Answer(int(turn) + at, call, at + 1)
                return answers, rules

    def _given_before(
        self, asked: Sequence[int], known: bytes, calls: Sequence[Sequence[bytes]]
    ) -> dict[int, _Answer]:
        start = len(self._keys.lasting(""))
        kept = [
            _Call(
                partial(Fold.kept, parts, self._settings),
                {key[start:]: names for key, names in orjson.loads(rules or b"{}").items()},
            )
            for rules, *parts in calls
        ]
        return {
            asked[place - 1]: _Answer(turn, kept[call - 1], there)
            for place, call, there, turn in orjson.loads(known)
        }

    def _arguments(
        self,
        batch: Sequence[Scored],
        seen: Sequence[Observation],
        subjects: Sequence[str],
        windows: bytes,
    ) -> tuple[list[str], list[Any]]:
        """Few and long texts: redis-py takes longer over many small ones than all the rest."""
        partitions: dict[tuple[str, int], tuple[list[str], list[str]]] = {}
        for place, scored in enumerate(batch, 1):
            origin = scored.origin.topic, scored.origin.partition
            ids, places = partitions.setdefault(origin, ([], []))
            ids.append(scored.id)
            places.append(str(place))
        keys = [self._keys.subject(name) for name in subjects]
        for topic, number in partitions:
            keys += self._keys.seen(topic, number)
        keys.append(self._keys.turn)
        return keys, [
            len(subjects),
            *self._constants,
            time.time_ns() // 1_000,
            self._keys.calls,
            self._keys.former_folds,
            kept_events(seen, subjects),
            windows,
            orjson.dumps([places for _, places in partitions.values()]),
            *[orjson.dumps(ids) for ids, _ in partitions.values()],
        ]


def _windows(answers: Sequence[_Answer]) -> Iterator[dict[str, Windows]]:
    """Of each event, by the call that folded it in and its place there.

    A call is worked out once. What is asked for again, or out of its order, is copied on the way.
    """
    wanted = Counter((id(call), place) for _, call, place in answers)
    opened: dict[int, Fold] = {}
    copies: dict[tuple[int, int], dict[str, Windows]] = {}
    for _, call, place in answers:
        number = id(call)
        wanted[number, place] -= 1
        if (number, place) in copies:
            yield copies[number, place]
            continue
        fold = opened.get(number) or opened.setdefault(number, call.fold())
        while fold.done < place:
            found = fold.step()
            if wanted[number, fold.done]:
                copies[number, fold.done] = {
                    name: replace(one, sums=[*one.sums]) for name, one in found.items()
                }
        yield found
