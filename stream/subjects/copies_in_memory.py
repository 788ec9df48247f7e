"""Near-duplicates in memory, for files: what copy_store.py keeps in Redis. Pure.

scripts/link_copies.lua says the same in Redis; keep in step. Nothing is recognised here: whoever
gives an event twice has it compared twice.
"""

from __future__ import annotations

from typing import NamedTuple

from stream.config.subjects import Novelty
from stream.records import Scored
from stream.signals.windows import span_us, time_us
from stream.subjects.novelty import HASH_DIGITS, SKETCH_HASHES, Print, fingerprint, marked


class _First(NamedTuple):
    name: str
    event_id: str
    at_us: int
    sketch: frozenset[str]
    facts: frozenset[str]


class FirstEvents:
    """The latest first event of each slot; events come in the order in which they are judged."""

    def __init__(self, settings: Novelty) -> None:
        self._window_us = span_us(settings.window_s)
        self._similarity = settings.similarity
        self._slots = settings.remember
        self._table: dict[int, _First] = {}

    def mark(self, scored: Scored) -> Scored:
        """The record with its novelty, a copy with the id of the first."""
        if not self._window_us or (found := fingerprint(scored)) is None:
            return scored
        event = _first(scored, found)
        slots = [slot % self._slots for slot in found.slots]
        closest, best, first = 0.0, 0.0, ""
        for slot in slots:
            other = self._table.get(slot)
            if other is None or other.name == event.name:
                continue
            if abs(other.at_us - event.at_us) > self._window_us:
                continue
            similar = _similarity(event.sketch, other.sketch)
            closest = max(closest, similar)
            if similar >= self._similarity and similar > best and event.facts <= other.facts:
                best, first = similar, other.event_id
        if not best:
            self._table.update(dict.fromkeys(slots, event))
        # The digits that Redis answers with.
        return marked(scored, round(1 - (best or closest), 4), first)


def _first(scored: Scored, found: Print) -> _First:
    return _First(
        f"{scored.source}:{scored.id}",
        scored.id,
        time_us(scored.time),
        _hashes(found.sketch),
        _hashes(found.facts),
    )


def _hashes(digits: str) -> frozenset[str]:
    places = range(0, len(digits), HASH_DIGITS)
    return frozenset(digits[at : at + HASH_DIGITS] for at in places)


def _similarity(ours: frozenset[str], theirs: frozenset[str]) -> float:
    """Jaccard similarity by the smallest hashes of the union."""
    smallest = sorted(ours | theirs)[:SKETCH_HASHES]
    return sum(one in ours and one in theirs for one in smallest) / len(smallest)
