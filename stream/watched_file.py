"""A file that people change while the worker runs, and the moment to read it again."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

LOOK_EVERY_S = 1.0


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
        stamp = self._look()
        rests, self._seen = stamp == self._seen, stamp
        if not rests or stamp == self._stamp:
            return False
        digest, known = self._read(), self._digest
        self._stamp, self._digest = stamp, digest
        return digest != known

    def _look(self) -> tuple[int, int] | None:
        """What tells cheaply that it may have changed."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size

    def _read(self) -> bytes | None:
        try:
            return hashlib.sha256(self.path.read_bytes()).digest()
        except OSError:
            return None
