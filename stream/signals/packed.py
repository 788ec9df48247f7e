"""Windows as Redis keeps them, and what one call there did, to be worked out again. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from stream.config.signals import Signals
from stream.signals.windows import SUMS, Observation, Windows, fold

_NUMBERS = struct.Struct(f"<{4 + len(SUMS)}d")
"""Four whole numbers and the sums as of the latest event."""
_SIZE = 1 + _NUMBERS.size  # Redis keeps a b in front


def unpacked(content: bytes) -> Windows:
    """The windows of a subject as observe.lua packs them."""
    events, late, first_us, at_us, *sums = _NUMBERS.unpack_from(content, 1)
    return Windows(int(events), int(late), int(first_us), int(at_us), 1.0, 1.0, sums)


def alone(
    seen: Sequence[Observation], ahead: Mapping[str, int], settings: Signals
) -> tuple[list[str], bytes]:
    """What events come to: their subjects, and the windows of each with these events alone.

    ahead has latest times of subjects: an event too late for that is only counted as late.
    """
    # As if there had been one event that weighs nothing.
    windows = {
        name: Windows(1, 0, ahead[name], ahead[name], 1.0, 1.0, [0.0] * len(SUMS))
        for one in (seen if ahead else ())
        for name, _, _ in one.subjects
        if name in ahead
    }
    for one in seen:
        fold(one, windows, settings)
    return list(windows), b"".join([_packed(one, name in ahead) for name, one in windows.items()])


def _packed(windows: Windows, begun: bool) -> bytes:
    if windows.short_weight != 1.0:  # the long one is smaller
        windows.set_back(0.0, 0.0)
    return _NUMBERS.pack(
        windows.events - begun, windows.late, windows.first_us, windows.at_us, *windows.sums
    )


class Fold:
    """The events of one call, added to what their subjects were before, one a step."""

    def __init__(
        self,
        subjects: Sequence[str],
        seen: Sequence[Observation],
        before: Sequence[bytes],
        settings: Signals,
    ) -> None:
        """before: the windows of each subject."""
        self._events = seen
        self._settings = settings
        self._windows = {
            name: unpacked(packed) for name, packed in zip(subjects, before, strict=True)
        }
        self.done = 0

    @classmethod
    def kept(cls, parts: Sequence[bytes], settings: Signals) -> Fold:
        """One that observe.lua keeps: what kept_events() gave, then the windows of each."""
        if len(parts) == 1:
            return cls._kept_once(parts[0], settings)
        subjects, events = (orjson.loads(line) for line in parts[0].split(b"\n"))
        return cls(subjects, [_observation(one, subjects) for one in events], parts[1:], settings)

    @classmethod
    def _kept_once(cls, content: bytes, settings: Signals) -> Fold:
        """One that a former worker left, in one text."""
        places, names, events, before = content.split(b"\n", 3)
        subjects = orjson.loads(names)
        seen = [_observation(one[2:], subjects) for one in orjson.loads(events)]
        fresh = orjson.loads(places)
        return cls(
            subjects,
            [seen[place - 1] for place in fresh] if fresh else seen,
            [before[at : at + _SIZE] for at in range(0, len(before), _SIZE)],
            settings,
        )

    def step(self) -> dict[str, Windows]:
        """Add the next event; the windows of its subjects, which go on changing."""
        self.done += 1
        return fold(self._events[self.done - 1], self._windows, self._settings)


def kept_events(seen: Sequence[Observation], subjects: Sequence[str]) -> bytes:
    """Events as Redis keeps them, to be worked out again after a redelivery."""
    numbers = {name: number for number, name in enumerate(subjects, 1)}
    events = [
        (
            one.at_us,
            one.kind,
            one.label,
            one.sentiment,
            one.risk,
            [(numbers[name], relevance, news) for name, relevance, news in one.subjects],
        )
        for one in seen
    ]
    return b"%b\n%b" % (orjson.dumps(subjects), orjson.dumps(events))


def _observation(event: Sequence[Any], subjects: Sequence[str]) -> Observation:
    at_us, kind, label, sentiment, risk, named = event
    names = [(subjects[number - 1], relevance, news) for number, relevance, news in named]
    return Observation(at_us, kind, label, sentiment, risk, names)
