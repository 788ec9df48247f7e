"""What to run next: texts wait in the order they are due and leave it in batches. Pure."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

# A pass costs about as much as this many tokens before it computes the first one (MiniLM on two
# CPU cores: 3 to 4 ms of 0.08 ms a token), so padding beyond it is dearer than a pass of its own.
PASS_OVERHEAD_TOKENS = 48
CHARS_A_TOKEN = 4
# However long a flood has lasted, its texts are due so much later at most: none waits for ever.
LATEST_TURN_S = 60.0


class Waiting(msgspec.Struct, Generic[T]):
    """A text that waits: since queued_at, to be run by due (both seconds of one clock).

    arrival counts texts in the order they came.
    """

    item: T
    text: str
    queued_at: float
    due: float
    arrival: int
    tokens: list[int] = []

    def waited_ms(self, until: float) -> float:
        return round((until - self.queued_at) * 1000, 3)


def tokens_about(text: str, longest: int) -> int:
    """Close enough where a text is not tokenised yet, which is cut at the longest."""
    return min(longest, 1 + len(text) // CHARS_A_TOKEN)


class Turns:
    """When each text would be run if each kind had an equal share of the device.

    So a flood of one kind is due over the time that it takes, and of another kind whatever asks
    for less than its share is due before most of it.
    """

    def __init__(self) -> None:
        self._next: dict[str, float] = {}

    def next(self, kind: str, now: float, takes_s: float) -> float:
        """The turn of one more of that kind, at most LATEST_TURN_S from now."""
        turn = min(max(now, self._next.get(kind, now)), now + LATEST_TURN_S)
        self._next[kind] = turn + takes_s * max(1, len(self._next))
        return turn


class Arrivals(Generic[T]):
    """Texts not tokenised yet, the one due first at the exit. Not safe without a lock."""

    def __init__(self) -> None:
        self._queue: list[tuple[float, int, Waiting[T]]] = []

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, entry: Waiting[T]) -> None:
        heappush(self._queue, (entry.due, entry.arrival, entry))

    def take(self, tokens: int, longest: int) -> list[Waiting[T]]:
        """Those due first, of about so many tokens together, longest of one text."""
        taken: list[Waiting[T]] = []
        while self._queue and tokens > 0:
            _, _, entry = heappop(self._queue)
            taken.append(entry)
            # The true count is known after tokenising; this bounds how much is tokenised ahead.
            tokens -= tokens_about(entry.text, longest)
        return taken


class Window(Generic[T]):
    """Tokenised texts, the one due first in front.

    Every batch holds the text that is due first, and due is fixed when a text comes in: whatever
    comes later, and however urgent, a text waits no longer than it takes to run those due before.
    """

    def __init__(self) -> None:
        self._waiting: list[Waiting[T]] = []
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entry: Waiting[T]) -> None:
        # Nearly always it is the last one, and a search would cost more than all else here.
        if self._waiting and _order(entry) < _order(self._waiting[-1]):
            insort(self._waiting, entry, key=_order)
        else:
            self._waiting.append(entry)
        self.tokens += len(entry.tokens)

    def take(self, limit: int, *, pads: bool) -> tuple[list[Waiting[T]], str]:
        """The next batch of at most limit tokens, and what ended it; a longer text rides alone.

        Without pads these are the texts due first. With pads limit counts the longest text times
        the texts, and texts of like length ride together. Ended by "idle" (all there was), "full",
        or "length" (the next text would add too much padding).
        """
        if not self._waiting:
            return [], "idle"
        batch, ended_by = self._matched(limit) if pads else self._first(limit)
        self.tokens -= sum(len(entry.tokens) for entry in batch)
        return batch, ended_by

    def clear(self) -> list[Waiting[T]]:
        """Everything that waits, which is then gone from here."""
        waiting, self._waiting, self.tokens = self._waiting, [], 0
        return waiting

    def _first(self, limit: int) -> tuple[list[Waiting[T]], str]:
        tokens = count = 0
        for entry in self._waiting:
            tokens += len(entry.tokens)
            if tokens > limit and count:
                break
            count += 1
        batch = self._waiting[:count]
        del self._waiting[:count]
        return batch, "full" if self._waiting else "idle"

    def _matched(self, limit: int) -> tuple[list[Waiting[T]], str]:
        first = self._waiting[0]
        by_length = sorted(self._waiting, key=lambda entry: len(entry.tokens))
        pivot = next(at for at, entry in enumerate(by_length) if entry is first)
        low, high, ended_by = cut_batch([len(entry.tokens) for entry in by_length], pivot, limit)
        self._waiting = sorted(by_length[:low] + by_length[high:], key=_order)
        return by_length[low:high], ended_by


def cut_padded(tokens: Sequence[list[int]], budget: int) -> list[list[list[int]]]:
    """Batches of texts in ascending order of length, as a padded predictor is given them."""
    batches = []
    left = list(tokens)
    while left:
        low, _, _ = cut_batch([len(row) for row in left], len(left) - 1, budget)
        batches.append(left[low:])
        del left[low:]
    return batches[::-1]


def cut_batch(lengths: Sequence[int], oldest: int, max_tokens: int) -> tuple[int, int, str]:
    """Choose the slice [low, high) of ascending lengths around oldest, and say what ended it.

    Grows towards the neighbour that adds less padding while size x longest stays within
    max_tokens; a text longer than max_tokens rides alone. The reason is "full", "length"
    (the next text would add more padding than a pass of its own costs) or "idle" (all there was).
    """
    low, high = oldest, oldest + 1
    longest = lengths[oldest]
    while low > 0 or high < len(lengths):
        size = high - low
        shorter_padding = longest - lengths[low - 1] if low > 0 else None
        longer_padding = (lengths[high] - longest) * size if high < len(lengths) else None
        go_longer = longer_padding is not None and (
            shorter_padding is None or longer_padding <= shorter_padding
        )
        padding = longer_padding if go_longer else shorter_padding
        if padding is None or padding > PASS_OVERHEAD_TOKENS:
            return low, high, "length"
        next_longest = lengths[high] if go_longer else longest
        if (size + 1) * next_longest > max_tokens:
            return low, high, "full"
        if go_longer:
            high += 1
            longest = next_longest
        else:
            low -= 1
    return low, high, "idle"


def _order(entry: Waiting[T]) -> tuple[float, int]:
    return entry.due, entry.arrival
