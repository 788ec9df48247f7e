"""Long work takes idle time only, and nobody has to wait for it to end."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from trainer import priority
from trainer.priority import Throttle, in_idle_time


async def test_what_the_work_gives_or_raises_comes_back() -> None:
    def fails() -> int:
        raise ValueError("no such fit")

    assert await in_idle_time(lambda: 7) == 7
    with pytest.raises(ValueError, match="no such fit"):
        await in_idle_time(fails)


@pytest.mark.skipif(sys.platform != "linux", reason="the class is Linux's")
async def test_the_work_alone_takes_only_idle_time() -> None:
    before = os.sched_getscheduler(0)
    assert await in_idle_time(lambda: os.sched_getscheduler(0)) == os.SCHED_IDLE
    assert os.sched_getscheduler(0) == before != os.SCHED_IDLE


async def test_who_is_cancelled_does_not_wait_for_the_work() -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        begun.set()
        go_on.wait()
        ended.set()

    task = asyncio.create_task(in_idle_time(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    (thread,) = threads
    assert thread.daemon
    go_on.set()
    await asyncio.to_thread(thread.join)
    assert ended.is_set()


class Clock:
    """Time that passes for a thread only as the test says."""

    def __init__(self) -> None:
        self.used_s = 100.0
        self.rests: list[float] = []

    def thread_time(self) -> float:
        return self.used_s

    def sleep(self, seconds: float) -> None:
        self.rests.append(seconds)


def test_a_thread_rests_three_times_as_long_as_it_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(priority, "time", clock)
    breaks = Throttle(0.25)
    for work_s in (0.5, 0.1):
        clock.used_s += work_s
        breaks(1, 10, 0.3)
    assert clock.rests == pytest.approx([1.5, 0.3])
