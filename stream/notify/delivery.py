"""Getting notifications to one receiver: a bounded queue, retries, and an end to them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from stream.notify.notification import Notification, RefusedError, Sink, TryAgainError
from stream.runtime.tasks import end

logger = logging.getLogger(__name__)

QUEUE = 100
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
LAST_SEND_S = 5.0
LOOK_S = 0.2


class Outcome(NamedTuple):
    """How a notification ended; error is empty where the receiver has it."""

    notification: Notification
    error: str


class Trouble(NamedTuple):
    """Why a receiver has not taken what it is sent, and since when (seconds of time.monotonic)."""

    reason: str
    since: float


class DeliveryCounts:
    """What receivers took, by their names: counts of this process, and who is in trouble now."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.retries: Counter[str] = Counter()
        self.troubles: dict[str, Trouble] = {}

    def try_again(self, receiver: str, reason: str) -> None:
        self.retries[receiver] += 1
        self._note(receiver, reason)

    def end(self, receiver: str, error: str) -> None:
        (self.failed if error else self.sent)[receiver] += 1
        self._note(receiver, error)

    def leave(self, receiver: str) -> None:
        """Somebody else sends to it now, or nobody."""
        self._note(receiver, "")

    def _note(self, receiver: str, reason: str) -> None:
        before = self.troubles.pop(receiver, None)
        if reason:
            since = before.since if before else time.monotonic()
            self.troubles[receiver] = Trouble(reason, since)


class Courier:
    """One receiver's queue and task, so that a slow or dead one holds up no other.

    Every notification it accepted ends in one outcome, unless stop() comes first; what is being
    sent then may take LAST_SEND_S. What is given up after give_up_after_s, or refused for good, is
    logged with its reason.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        give_up_after_s: float,
        ended: Callable[[Outcome], None],
        tally: DeliveryCounts | None = None,
        first_wait_s: float = FIRST_WAIT_S,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        """may_send is asked before each try; while it says no, the notification waits."""
        self._name = name
        self._sink = sink
        self._give_up_after_s = give_up_after_s
        self._ended = ended
        self._tally = tally or DeliveryCounts()
        self._first_wait_s = first_wait_s
        self._may_send = may_send
        self._queue: asyncio.Queue[Notification] = asyncio.Queue(QUEUE)
        self._held: set[str] = set()
        self._stopping = False
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._deliver_for_ever(), name=f"receiver-{self._name}")

    async def stop(self) -> None:
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_SEND_S):
                await self._idle.wait()
        await end(self._task)
        self._tally.leave(self._name)
        await self._sink.close()

    def offer(self, notification: Notification) -> bool:
        """False while the queue is full; offer it again later. One it already has is fine."""
        if notification.id in self._held:
            return True
        if self._queue.full():
            return False
        self._held.add(notification.id)
        self._queue.put_nowait(notification)
        return True

    def forget(self, notification_id: str) -> None:
        """Its outcome is written down: the same id would be a new matter."""
        self._held.discard(notification_id)

    async def abandon(self) -> None:
        """Leave everything to another worker. What is being sent this moment may still arrive."""
        self._tally.leave(self._name)
        if not self._held:
            return
        await end(self._task)
        self._queue = asyncio.Queue(QUEUE)
        self._held.clear()
        self.start()

    async def _deliver_for_ever(self) -> None:
        while not self._stopping:
            notification = await self._queue.get()
            error = await self._deliver(notification)
            if error:
                logger.error(
                    "receiver %s: notification %s given up: %s", self._name, notification.id, error
                )
            self._tally.end(self._name, error)
            self._ended(Outcome(notification, error))

    async def _deliver(self, notification: Notification) -> str:
        """Send until the receiver has it. The reason where it never will."""
        began = time.monotonic()
        wait_s = self._first_wait_s
        tries = 0
        while True:
            # A Redis that hangs tells nobody that another worker sends by now.
            while not self._may_send():  # noqa: ASYNC110 - a lease ends by the clock alone
                await asyncio.sleep(LOOK_S)
            tries += 1
            asked_s = None
            self._idle.clear()
            try:
                await self._sink.send(notification)
            except RefusedError as error:
                return str(error)
            except TryAgainError as error:
                reason, asked_s = str(error), error.after_s
            except Exception as error:  # noqa: BLE001 - a fault of one receiver must not end the others
                return f"{type(error).__name__}: {error}"
            else:
                return ""
            finally:
                self._idle.set()
            # Jitter keeps many groups from knocking at the same moment.
            pause_s = max(asked_s or 0.0, wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
            if time.monotonic() - began + pause_s > self._give_up_after_s:
                return f"{reason} (after {tries} tries in {time.monotonic() - began:.0f} s)"
            self._tally.try_again(self._name, reason)
            logger.warning(
                "receiver %s: %s; try %d in %.1f s", self._name, reason, tries + 1, pause_s
            )
            await asyncio.sleep(pause_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
