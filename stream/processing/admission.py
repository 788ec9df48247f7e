"""Backpressure by source: a flood on one source waits for its own room and takes no other's."""

from __future__ import annotations

import asyncio


class Entrance:
    """At most capacity records are inside, or one chunk that is larger."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._inside = 0
        self._door = asyncio.Lock()
        self._room = asyncio.Event()

    async def enter(self, records: int) -> None:
        # The lock is first come, first served: no partition of the source is shut out.
        async with self._door:
            while self._inside and self._inside + records > self._capacity:
                self._room.clear()
                await self._room.wait()
            self._inside += records

    def leave(self, records: int) -> None:
        self._inside -= records
        self._room.set()
