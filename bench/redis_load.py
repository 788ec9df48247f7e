"""What an event costs Redis: windows and copies, by the size of the micro-batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from stream.backtesting.scored_log import read_file
from stream.config.settings import load_settings
from stream.demo.embedded import EmbeddedRedis
from stream.names import Keys
from stream.records import Scored
from stream.runtime.heap import spare_long_lived
from stream.signals.signal_store import SignalStore
from stream.subjects.copy_store import CopyStore

SIZES = (16, 64, 480)
REPLAY_S = 3_600
REMEMBERED = 8_000

Run = Callable[[Sequence[Scored]], Awaitable[None]]


def measure(scored: Path, records: int) -> None:
    """Print microseconds of processor time an event, Redis's and this process's, and memory."""
    batch = list(islice(read_file(scored), records))
    spare_long_lived()
    subjects = sum(len(one.subjects) for one in batch) / len(batch)
    print(f"\n{len(batch)} scored records, {subjects:.1f} subjects each: an event costs")
    for name, store in (("windows", _windows), ("copies", _copies)):
        for size in SIZES:
            redis_us, own_us, held = asyncio.run(_cost(store, batch, size))
            print(
                f"  {name:8} in micro-batches of {size:3}: Redis {redis_us:6.1f} us, "
                f"this process {own_us:5.1f} us, {held:6,.0f} bytes"
            )


def _windows(client: Redis) -> Run:
    signals = load_settings(None).signals
    store = SignalStore(client, Keys(), signals, replay_s=REPLAY_S, remembered=REMEMBERED)

    async def fold(some: Sequence[Scored]) -> None:
        for _ in (await store.observe(some)).windows:
            pass

    return fold


def _copies(client: Redis) -> Run:
    novelty = load_settings(None).novelty
    store = CopyStore(client, Keys(), novelty, replay_s=REPLAY_S, remembered=REMEMBERED)

    async def mark(some: Sequence[Scored]) -> None:
        await store.mark(some)

    return mark


async def _cost(
    store: Callable[[Redis], Run],
    batch: Sequence[Scored],
    size: int,
) -> tuple[float, float, float]:
    with EmbeddedRedis() as server:
        async with Redis.from_url(server.url) as client:
            run = store(client)
            used, memory = await _used(client)
            began = time.process_time()
            for start in range(0, len(batch), size):
                await run(batch[start : start + size])
            own_s = time.process_time() - began
            used_then, memory_then = await _used(client)
    per_event = 1 / len(batch)
    return (
        (used_then - used) * 1e6 * per_event,
        own_s * 1e6 * per_event,
        (memory_then - memory) * per_event,
    )


async def _used(client: Redis) -> tuple[float, int]:
    """Processor time in seconds, and bytes."""
    cpu: dict[str, Any] = await client.info("cpu")
    memory: dict[str, Any] = await client.info("memory")
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"], int(memory["used_memory"])
