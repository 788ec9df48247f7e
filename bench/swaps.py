"""Swaps of the real model while a feed runs: what is lost, how long the model pauses, memory.

The two versions differ in their encoders, so every swap loads one whole. The broker has a process
of its own, or its records would be counted as the worker's memory.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import orjson
from aiokafka import AIOKafkaConsumer

from bench.broker import own_broker, settings_on
from bench.machine import memory_mib
from bench.texts import events
from models.checkpoint import read_checkpoint, write_checkpoint
from models.description import shipped
from models.predictor import TorchPredictor
from models.registry import CHAMPION, Registry
from stream.commands.chosen_model import RegistryChampions, load_predictor
from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments
from stream.connections.outbox import Outbox
from stream.demo.embedded import EmbeddedRedis
from stream.records import utc_now
from stream.runtime.heap import spare_long_lived
from stream.serving.champions import announcement
from stream.worker.app import Worker

POLL_S = 0.02
# Always waiting, so that a pause of the model is never for want of texts.
AHEAD = 64
RSS_EVERY = 10
SETTLE_S = 3.0


class Passes:
    """Begin and end of every forward pass on the model thread, while this context lasts."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def __enter__(self) -> Self:
        self._original = original = TorchPredictor.predict_beside
        spans = self.spans

        def timed(predictor: TorchPredictor, *rest: Any) -> Any:
            begun = time.perf_counter()
            answers = original(predictor, *rest)
            # A version that is loaded beside warms up on another thread.
            if threading.current_thread().name == "model":
                spans.append((begun, time.perf_counter()))
            return answers

        TorchPredictor.predict_beside = timed  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        TorchPredictor.predict_beside = self._original  # type: ignore[method-assign]

    def lines(self) -> Iterator[str]:
        batches = sorted(end - begun for begun, end in self.spans)
        pauses = sorted(later[0] - earlier[1] for earlier, later in itertools.pairwise(self.spans))
        median = statistics.median(batches)
        yield f"micro-batches {len(batches)}: median {_ms(median)}, longest {_ms(batches[-1])}"
        yield (
            f"pauses between two: median {_ms(statistics.median(pauses))}, "
            f"99 % below {_ms(pauses[int(0.99 * len(pauses))])}, longest {_ms(pauses[-1])}, "
            f"which is {pauses[-1] / median:.2f} of the median micro-batch"
        )


def measure(texts: Sequence[str], swaps: int) -> None:
    """Prints what happened."""
    logging.disable(logging.WARNING)
    with (
        tempfile.TemporaryDirectory(prefix="bellwether-swaps-") as folder,
        own_broker() as bootstrap,
        EmbeddedRedis() as redis,
    ):
        settings = settings_on(
            bootstrap, redis.url, model={"registry": str(Path(folder) / "registry")}
        )
        registry, versions = _two_versions(settings, Path(folder))
        asyncio.run(_swap(settings, registry, versions, texts, swaps))


async def _swap(
    settings: Settings,
    registry: Registry,
    versions: Sequence[str],
    texts: Sequence[str],
    swaps: int,
) -> None:
    worker = Worker(settings, load_predictor(settings), RegistryChampions(settings))
    await worker.start()
    spare_long_lived()
    outbox = Outbox(kafka_arguments(settings.kafka))
    await outbox.start()
    feed = _Feed(worker, outbox, texts)
    seen: Counter[str] = Counter()
    reading = asyncio.create_task(_count(settings, seen))
    feeding = asyncio.create_task(feed.run())
    took: list[float] = []
    with Passes() as passes:
        for swap in range(1, swaps + 1):
            begun = time.perf_counter()
            version = versions[swap % 2]
            alias = await asyncio.to_thread(
                lambda named=version: registry.point(
                    CHAMPION, named, by="bench", why="swap", now=utc_now()
                )
            )
            await outbox.send([announcement(settings.topics, alias)])
            while worker.predictor.version != version:
                await asyncio.sleep(POLL_S)
            took.append(time.perf_counter() - begun)
            if swap % RSS_EVERY == 0:
                # By then the model that was replaced is gone.
                await asyncio.sleep(SETTLE_S)
                memory = memory_mib(os.getpid())
                print(f"  after {swap:3} swaps  {memory:7.1f} MiB  {feed.published} events")
        feed.stop = True
        await feeding
    while sum(seen.values()) < feed.published:
        await asyncio.sleep(POLL_S)
    # What comes too much must be seen too.
    await asyncio.sleep(1.0)
    reading.cancel()
    await worker.stop()
    await outbox.stop()
    print(
        f"  {swaps} swaps, median {statistics.median(took):.2f} s from alias to service; "
        f"{feed.published} events, {feed.published - len(seen)} lost, "
        f"{sum(seen.values()) - len(seen)} scored twice"
    )
    for line in passes.lines():
        print(f"  {line}")


class _Feed:
    """Keeps so many texts under way that the model always has some."""

    def __init__(self, worker: Worker, outbox: Outbox, texts: Sequence[str]) -> None:
        self._worker, self._outbox = worker, outbox
        self._events = events(texts)
        self.published = 0
        self.stop = False

    async def run(self) -> None:
        while not self.stop or self._worker.telemetry.settled < self.published:
            lacking = AHEAD - (self.published - self._worker.telemetry.settled)
            if lacking > 0 and not self.stop:
                await self._outbox.send(list(itertools.islice(self._events, lacking)))
                self.published += lacking
            await asyncio.sleep(POLL_S)


async def _count(settings: Settings, seen: Counter[str]) -> None:
    consumer = AIOKafkaConsumer(
        settings.topics.scored, auto_offset_reset="earliest", **kafka_arguments(settings.kafka)
    )
    await consumer.start()
    try:
        async for record in consumer:
            seen[orjson.loads(record.value)["id"]] += 1
    finally:
        await consumer.stop()


def _two_versions(settings: Settings, folder: Path) -> tuple[Registry, tuple[str, str]]:
    registry = Registry(str(settings.model.registry))
    first = registry.add(shipped())
    checkpoint, weights = read_checkpoint(shipped())
    name = next(name for name in sorted(weights) if name.startswith("low_rank."))
    second = write_checkpoint(
        folder / "second", checkpoint, weights | {name: weights[name] * 1.001}
    )
    registry.add(folder / "second")
    registry.point(CHAMPION, first.version, by="bench", why="first", now=utc_now())
    return registry, (first.version, second.version)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
