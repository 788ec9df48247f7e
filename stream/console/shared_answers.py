"""What many pages ask for at once is computed once: single flight, and a cache of seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

FRESH_S = 4.0
"""Less than the five seconds after which the health page asks again."""


class SingleFlight:
    """Without it, each word to load the list again would have every open page read all of Redis.

    Who asks while an answer is made gets the next one: the one under way may have begun before
    what the asker must see.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Any]] = {}
        self._next: dict[Hashable, asyncio.Task[Any]] = {}

    async def answer(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """What make gives, made once for all who wait; raises to each of them what it raises."""
        task: asyncio.Task[T] | None = self._next.get(key)
        if task is None:
            task = asyncio.create_task(self._make(key, make, self._under_way.get(key)))
            task.add_done_callback(_look_at)
            self._next[key] = task
        return await asyncio.shield(task)

    async def _make(
        self, key: Hashable, make: Callable[[], Awaitable[T]], before: asyncio.Task[Any] | None
    ) -> T:
        if before:
            await asyncio.wait({before})
        own = self._under_way[key] = self._next.pop(key)
        try:
            return await make()
        finally:
            if self._under_way[key] is own:
                del self._under_way[key]


class ShortCache:
    """For what many pages look at every few seconds, each at its own moment, and nobody changes.

    Who asks gets the answer under way, or the last one while it is younger than fresh_s. An error
    is told to all who wait for it and is not kept.
    """

    def __init__(self, fresh_s: float = FRESH_S) -> None:
        """Keys are few and known: the last answer of each is kept for good."""
        self._fresh_s = fresh_s
        self._latest: dict[Hashable, tuple[asyncio.Task[Any], float]] = {}

    async def answer(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        now = asyncio.get_running_loop().time()
        task, until = self._latest.get(key, (None, 0.0))
        if task is None or (task.done() and (now >= until or _failed(task))):
            task = asyncio.ensure_future(make())
            task.add_done_callback(_look_at)
            self._latest[key] = task, now + self._fresh_s
        return await asyncio.shield(task)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


def _look_at(task: asyncio.Future[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()
