"""Puts what finishes in any order back into the order in which it came, by partition. Pure."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Line = TypeVar("Line", bound=Hashable)
T = TypeVar("T")


class InOrder(Generic[Line, T]):
    """One line a partition: batches that run at a time overtake each other, and batches that pad
    take texts of like length, but what a key's records cause must come out as the records came in.
    """

    def __init__(self) -> None:
        self._lines: defaultdict[Line, deque[int]] = defaultdict(deque)
        self._finished: dict[int, T] = {}

    @property
    def held(self) -> int:
        """How many have finished and wait for one in front of them."""
        return len(self._finished)

    def enter(self, line: Line, number: int) -> None:
        """Numbers name what comes in, whatever its line; each is given once."""
        self._lines[line].append(number)

    def finish(self, done: Iterable[tuple[Line, int, T]]) -> list[T]:
        """What may go on now; what is still behind another of its line is kept."""
        touched: dict[Line, None] = {}
        for line, number, item in done:
            self._finished[number] = item
            touched[line] = None
        free = []
        for line in touched:
            waiting = self._lines[line]
            while waiting and waiting[0] in self._finished:
                free.append(self._finished.pop(waiting.popleft()))
            if not waiting:
                del self._lines[line]
        return free
