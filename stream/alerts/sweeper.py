"""Ends alerts whose subject has been quiet; every worker looks, the script resolves each once."""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import RedisError

from stream.alerts.lifecycle import Lifecycle
from stream.runtime.backoff import Backoff
from stream.runtime.tasks import end

logger = logging.getLogger(__name__)

SHORTEST_S = 1.0
LONGEST_S = 30.0


class Sweeper:
    """start() and stop() frame its use, on one event loop."""

    def __init__(self, lifecycle: Lifecycle, quiet_s: float) -> None:
        self._lifecycle = lifecycle
        self._every_s = min(max(quiet_s / 10, SHORTEST_S), LONGEST_S)

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self._sweep_for_ever(), name="sweeper")
        return self._task

    async def stop(self) -> None:
        await end(self._task)

    async def _sweep_for_ever(self) -> None:
        backoff = Backoff("Redis does not let quiet alerts be resolved", logger)
        while True:
            try:
                if resolved := await self._lifecycle.resolve_quiet():
                    logger.info("resolved %d alerts that had been quiet", resolved)
            except (RedisError, OSError) as error:
                await backoff.wait(error)
            else:
                backoff.reset()
                await asyncio.sleep(self._every_s)
