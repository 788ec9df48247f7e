"""Labels given on this console that have not come back from Kafka yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from weakref import WeakValueDictionary

from stream.records import Feedback

KEPT = 5_000


class PendingFeedback:
    """The label of one head must be known when that of the next decides where a ticket goes."""

    def __init__(self) -> None:
        self._verdicts: deque[Feedback] = deque(maxlen=KEPT)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def turn(self, event_id: str) -> asyncio.Lock:
        """Held while a verdict on that event is sent: else of two at once neither is the last."""
        return self._turns.setdefault(event_id, asyncio.Lock())

    def add(self, verdict: Feedback) -> None:
        """A verdict that Kafka has confirmed."""
        self._verdicts.append(verdict)

    def beside(self, followed: Sequence[Feedback]) -> list[Feedback]:
        """What was followed from Kafka, and what we gave that is not among it yet."""
        arrived = set(map(_named, followed))
        missing = [one for one in self._verdicts if _named(one) not in arrived]
        self._verdicts = deque(missing, maxlen=KEPT)
        return [*followed, *missing]


def _named(one: Feedback) -> tuple[str, str, str, str]:
    """An id is the caller's own, who may use it for each head of an event."""
    return one.id, one.event_id, one.head, one.author
