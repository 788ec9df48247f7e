"""Waits for what a test has set going, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any], deadline_s: float = 30.0) -> None:
    """Return when it holds, or what it gives does when awaited. Raises TimeoutError."""
    async with asyncio.timeout(deadline_s):
        while not (await found if asyncio.iscoroutine(found := condition()) else found):
            await asyncio.sleep(0.005)
