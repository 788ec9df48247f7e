"""How the trainer stands back before a worker on the same machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A worker has seconds, the trainer has minutes. On two cores the demo's events took 0.7 s
# (p50) beside a trainer that begins; at 5 they took 5.7 s.
NICENESS = 10
# Of a core, for a fit that nobody waits for. Even in idle time it shares caches and, in a cloud,
# half a core with the worker: without breaks the worker's p95 was 1.4 and 2.1 times as long.
DEEP_SHARE = 0.25


def lower_priority() -> None:
    """Of the whole process, for good; called once, before its threads begin."""
    os.nice(NICENESS)


def use_idle_time_only() -> None:
    """Of the calling thread and those that it begins, for good, where the system can (Linux).

    A nice thread still runs its slice to the end when a worker wakes, and has its share of a core
    that the worker could use; the idle class gives way at once, and has next to nothing of a core
    that is never idle.
    """
    if hasattr(os, "SCHED_IDLE"):
        # A sandbox may forbid it; niceness is what remains then.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Throttle:
    """Told after each step, it rests its thread so that the thread has that share of a core."""

    def __init__(self, share: float = DEEP_SHARE) -> None:
        """Made on the thread that is to rest."""
        self._rest_s = 1 / share - 1
        self._used_s = time.thread_time()

    def __call__(self, _done: int, _of: int, _loss: float) -> None:
        time.sleep((time.thread_time() - self._used_s) * self._rest_s)
        self._used_s = time.thread_time()


async def in_idle_time(work: Callable[[], T]) -> T:
    """What work gives or raises, on a thread of its own that takes only idle time.

    Cancelled, it leaves the thread behind, which does not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(settle: Callable[[], None]) -> None:
        def if_awaited() -> None:
            if not done.done():
                settle()

        # A loop that was closed meanwhile waits for nothing.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(if_awaited)

    def run() -> None:
        use_idle_time_only()
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - whoever awaits it is told whatever it is
            failure = error
            tell(lambda: done.set_exception(failure))
        else:
            tell(lambda: done.set_result(result))

    threading.Thread(target=run, name="fit", daemon=True).start()
    return await done
