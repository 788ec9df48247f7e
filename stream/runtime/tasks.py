"""Cancels a background task and waits until it has ended."""

from __future__ import annotations

import asyncio
from typing import Any

AGAIN_S = 0.2


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel until the task has ended; whatever it raised is dropped.

    Before Python 3.12 asyncio.wait_for, which redis-py uses, may swallow a cancellation that comes
    in the moment of an answer (CPython issue 86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_S)
    if not task.cancelled():
        task.exception()
