"""Notices that a file has changed and is at rest, so that it can be read again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

LOOK_EVERY_S = 1.0


def stamp(path: Path) -> tuple[int, int]:
    """What tells cheaply that a file may have changed. Raises OSError."""
    status = path.stat()
    return status.st_mtime_ns, status.st_size


class WatchedFile:
    """One that is not there counts as having no content."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = self._seen = self._look()
        self._digest = self._read()

    async def changes(self) -> AsyncIterator[None]:
        """For ever; one item each time that changed() says so."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if await asyncio.to_thread(self.changed):
                yield

    def changed(self) -> bool:
        """Whether it says something else than at the last time that this was so.

        Half of a file may be good, with half of what it is to say: only one at rest is read, which
        is one that looks as it did when last asked.
        """
        present = self._look()
        rests, self._seen = present == self._seen, present
        if not rests or present == self._stamp:
            return False
        digest, known = self._read(), self._digest
        self._stamp, self._digest = present, digest
        return digest != known

    def _look(self) -> tuple[int, int] | None:
        try:
            return stamp(self.path)
        except OSError:
            return None

    def _read(self) -> bytes | None:
        try:
            return hashlib.sha256(self.path.read_bytes()).digest()
        except OSError:
            return None
