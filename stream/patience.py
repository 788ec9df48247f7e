"""Waiting for a part that is down: backoff with jitter, and a log line that stays readable."""

from __future__ import annotations

import asyncio
import logging
import random
import time

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
LOG_EVERY_S = 10.0


class Patience:
    """Counts the failures of one thing in a row; make a new one for each thing to be done."""

    def __init__(self, trouble: str, logger: logging.Logger) -> None:
        self._trouble = trouble
        self._logger = logger
        self._wait_s = FIRST_WAIT_S
        self._began = time.monotonic()
        self._logged = -LOG_EVERY_S

    @property
    def waited_s(self) -> float:
        return time.monotonic() - self._began

    async def wait(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._logged >= LOG_EVERY_S:
            self._logged = now
            self._logger.warning(
                "%s (%s: %s); trying again, %.0f s so far",
                self._trouble,
                type(error).__name__,
                error,
                self.waited_s,
            )
        # Full jitter keeps many workers from knocking at the same moment when the part returns.
        await asyncio.sleep(self._wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)
