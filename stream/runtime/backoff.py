"""Retries while Kafka, Redis or a disk is away: exponential backoff with jitter, few log lines."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
import weakref
from collections import Counter

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
LOG_EVERY_S = 10.0
# An attempt may itself take its time-out; a wait that is older than this was the last one.
PRESENT_S = 60.0
# Longer than any one attempt; the longest is a send to Kafka (stream/connections/outbox.py).
ROW_ENDS_S = 180.0

# Words of the errors by which a server that runs says what ails it, and what mends it. By words, as
# an error of Redis may come wrapped in one of ours, or in one of a script.
READ_ONLY = "read only replica"
ONE_REDIS = "set redis.url to one Redis; Redis Cluster is not supported"
REMEDIES = {
    "'maxmemory'": "raise maxmemory of Redis or free memory there",
    READ_ONLY: "set redis.url to the primary, or make this one it with REPLICAOF NO ONE",
    "MovedError": ONE_REDIS,
    "CrossSlotError": ONE_REDIS,
    "MISCONF": "free space on the disk where Redis keeps its data, its log says more",
    # Of Kafka, the first: what aiokafka makes of the codes that are newer than it.
    "[Error -1]": "the broker's log says more; a compacted topic takes no record without a key",
    "AuthorizationFailedError": "give its user the rights that docs/security.md lists",
    "InvalidTimestampError": (
        "set this machine's clock right, or see message.timestamp.before.max.ms and "
        "message.timestamp.after.max.ms of the topic"
    ),
    "Timeout reading from": "see what keeps Redis busy with SLOWLOG GET, or raise redis.timeout_s",
}

# How often this process has had to try again, by trouble; it only grows.
retries: Counter[str] = Counter()
_waiting: weakref.WeakSet[Backoff] = weakref.WeakSet()


class Backoff:
    """Counts the failures of one thing in a row: until reset(), or ROW_ENDS_S without a failure."""

    def __init__(self, trouble: str, logger: logging.Logger) -> None:
        self._trouble = trouble
        self._logger = logger
        self._cause = ""
        retries[trouble] += 0  # a series that Prometheus knows before its first rise
        self.reset()

    def reset(self) -> None:
        """It went well: no trouble any more, and the next failure is the first of a new row."""
        self._wait_s = FIRST_WAIT_S
        self._began = self._failed_at = time.monotonic()
        self._logged = -math.inf
        _waiting.discard(self)

    @property
    def waited_s(self) -> float:
        return time.monotonic() - self._began

    async def wait(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._failed_at > ROW_ENDS_S:  # after this went well, perhaps for days
            self._began, self._wait_s = now, FIRST_WAIT_S
        self._failed_at = now
        self._cause = with_remedy(error)
        _waiting.add(self)
        retries[self._trouble] += 1
        if now - self._logged >= LOG_EVERY_S:
            self._logged = now
            self._logger.warning(
                "%s (%s); trying again, %.0f s so far", self._trouble, self._cause, self.waited_s
            )
        # Full jitter keeps many workers from knocking at the same moment when the part returns.
        await asyncio.sleep(self._wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)

    def describe(self) -> str:
        """The trouble, or nothing if it is over."""
        if time.monotonic() - self._failed_at > PRESENT_S:
            return ""
        return f"{self._trouble} ({self._cause}), for {self.waited_s:.0f} s"


def with_remedy(error: Exception) -> str:
    """The error in words, with what mends it where that is known."""
    said = f"{type(error).__name__}: {error}"
    return "; ".join((said, *(remedy for words, remedy in REMEDIES.items() if words in said)))


def present_troubles() -> list[str]:
    """What this process is waiting for now."""
    return sorted(words for one in _waiting if (words := one.describe()))
