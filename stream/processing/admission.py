"""Admission control by source: a flood on one waits for its own room and takes no other's."""

from __future__ import annotations

import asyncio


class Admission:
    """At most capacity records are admitted at a time, or one chunk that is larger."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._admitted = 0
        self._turn = asyncio.Lock()
        self._room = asyncio.Event()

    async def admit(self, records: int) -> None:
        # The lock is first come, first served: no partition of the source is shut out.
        async with self._turn:
            while self._admitted and self._admitted + records > self._capacity:
                self._room.clear()
                await self._room.wait()
            self._admitted += records

    def release(self, records: int) -> None:
        self._admitted -= records
        self._room.set()
