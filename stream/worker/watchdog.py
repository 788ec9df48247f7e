"""Notices that records wait and none is finished, says why, and ends a worker that is stuck."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from stream.runtime.tasks import end

logger = logging.getLogger(__name__)

CHECK_S = 5.0
# Times stall_s: a worker that is stuck by its own fault has shown then that it stays so.
GIVE_UP = 2.0
ASK_AFTER = 0.5


class StalledError(Exception):
    """Records wait, nothing is finished, and no other part is to blame."""


class WorkerProgress(msgspec.Struct, frozen=True):
    """What one look at a worker shows: records it has in work, and since its start has finished.

    troubles are the parts it waits for; awaits_model: what is in work is in front of the model.
    """

    in_work: int
    finished: int
    troubles: list[str]
    awaits_model: bool


class Watchdog:
    """Looks at one worker. start() and stop() frame its use, on one event loop."""

    def __init__(
        self,
        *,
        stall_s: float,
        look: Callable[[], WorkerProgress],
        lags: Callable[[], Mapping[tuple[str, int], int]],
        outage: Callable[[], Awaitable[str]],
        give_up: Callable[[Exception], None],
    ) -> None:
        """Lags gives by (topic, partition) how many records wait in Kafka.

        outage says what is wrong with Kafka, or nothing; asked only when nothing is finished.
        """
        self._stall_s = stall_s
        self._look = look
        self._read_lags = lags
        self._ask_outage = outage
        self._outage = ""
        self._give_up = give_up
        self._finished = -1
        self._moved_at = self._excused_at = self._asked_at = time.monotonic()
        self.lags: Mapping[tuple[str, int], int] = {}
        self.stalled = ""

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="watchdog")

    async def stop(self) -> None:
        await end(self._task)

    async def _watch(self) -> None:
        every_s = min(CHECK_S, self._stall_s / 4)
        try:
            while True:
                await self.look()
                await asyncio.sleep(every_s)
        except Exception as error:  # noqa: BLE001 - a watchdog must not die unheard
            self._give_up(error)

    async def look(self) -> None:
        """Once; before a stall is called one, Kafka is asked whether it is to blame.

        Where nothing waits it is asked less often: a quiet stream and a dead broker look alike.
        """
        now, ask_after_s = time.monotonic(), ASK_AFTER * self._stall_s
        if now - min(self._moved_at, self._asked_at) >= ask_after_s:
            self._asked_at = now
            self._outage = await self._ask_outage()
        self._check()

    def _check(self) -> None:
        self.lags = self._read_lags()
        sight = self._look()
        if self._outage:
            sight = msgspec.structs.replace(sight, troubles=[*sight.troubles, self._outage])
        now = time.monotonic()
        waiting = sight.in_work or any(self.lags.values()) or self._outage
        if sight.finished != self._finished or not waiting:
            if self.stalled:
                logger.info("it goes on again")
            if sight.finished != self._finished:
                self._asked_at, self._outage = now, ""
            self._finished, self._moved_at, self.stalled = sight.finished, now, ""
            return
        still_s = now - self._moved_at
        if still_s < self._stall_s:
            return
        cause = explain(sight, sum(self.lags.values()))
        if not self.stalled:
            logger.error("no record finished for %.0f s: %s", still_s, cause)
        self.stalled = f"no record finished for {still_s:.0f} s: {cause}"
        if sight.troubles:
            # Once they are over, it has as long as ever to get going again.
            self._excused_at = now
        elif now - max(self._moved_at, self._excused_at) >= GIVE_UP * self._stall_s:
            self._give_up(StalledError(self.stalled))


def explain(sight: WorkerProgress, lag: int) -> str:
    """Why nothing moves, and what to do."""
    if sight.troubles:
        return f"{'; '.join(sight.troubles)}; mend that part, nothing is lost meanwhile"
    if sight.in_work and sight.awaits_model:
        return (
            f"{sight.in_work} records wait for the model, which does not answer; see that its "
            "device works (nvidia-smi), restart the worker, lower model.max_batch_tokens if often"
        )
    if sight.in_work:
        return (
            f"{sight.in_work} scored records are not confirmed, and neither Kafka nor Redis "
            "refuses them; see whether they answer at all (bellwether doctor), restart the worker"
        )
    return (
        f"{lag} records wait in Kafka and none arrives; see whether another worker of the group "
        "hangs and keeps the partitions, restart the worker"
    )
