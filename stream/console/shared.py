"""One answer for all who ask the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class Shared:
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


def _look_at(task: asyncio.Task[Any]) -> None:
    """An error that nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()
