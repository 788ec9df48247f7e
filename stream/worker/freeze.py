"""Ends a process that is frozen as a whole, when even its watchdog can no longer run.

A blocked event loop, or a library that keeps the interpreter's lock, stops every check written in
Python. faulthandler counts on a thread of its own that needs neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
from collections.abc import AsyncIterator

from stream.runtime.tasks import end

REWINDS = 8


@contextlib.asynccontextmanager
async def ended_if_frozen(limit_s: float) -> AsyncIterator[None]:
    """Exit with 1 and the stack of every thread on stderr, once the loop has stood for limit_s."""

    async def rewind() -> None:
        while True:
            faulthandler.dump_traceback_later(limit_s, exit=True)
            await asyncio.sleep(limit_s / REWINDS)

    task = asyncio.create_task(rewind(), name="rewind")
    try:
        yield
    finally:
        await end(task)
        faulthandler.cancel_dump_traceback_later()
