"""A worker's latency at half its load, alone and with a trainer's deep fit on the same cores.

The fits run in processes of their own, stopped and let go in turns, so that every round of one way
has rounds of the others right beside it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

import torch

from bench.broker import own_broker, settings_on
from bench.machine import cpu_s, quantile
from bench.texts import events
from models.description import shipped
from models.predictor import load_predictor
from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments
from stream.connections.outbox import Outbox
from stream.demo.embedded import EmbeddedRedis
from stream.runtime.heap import spare_long_lived
from stream.worker.app import Worker
from trainer.fitting.config import bf16_helps
from trainer.fitting.fit import Watch
from trainer.labels.settlement import Label
from trainer.priority import DEEP_SHARE, NICENESS, Throttle, lower_priority, use_idle_time_only
from trainer.promotion.challenge import challenge_deep
from trainer.promotion.contender import load_contender
from trainer.promotion.data_split import split_labels

POLL_S = 0.02
AHEAD = 64
CAPACITY_S = 15.0
ALONE = "alone"
# Between two rounds: what came last is done, and the caches are the next round's.
SETTLE_S = 0.5
RESAMPLED = 400


# How a fit stands back, called in its process, and what share of a core it leaves itself.
WAYS: Mapping[str, tuple[Callable[[], None], float]] = {
    f"nice {NICENESS}": (lower_priority, 1.0),
    "idle class": (use_idle_time_only, 1.0),
    f"idle, {DEEP_SHARE} of it": (use_idle_time_only, DEEP_SHARE),
}


def measure(texts: Sequence[str], *, rounds: int, seconds: float) -> None:
    """Prints latencies by way and their ratios to alone, over all rounds."""
    logging.disable(logging.WARNING)
    with ExitStack() as stack:
        bootstrap = stack.enter_context(own_broker())
        redis = stack.enter_context(EmbeddedRedis())
        fits = {name: stack.enter_context(_fit(*way)) for name, way in WAYS.items()}
        settings = settings_on(bootstrap, redis.url)
        asyncio.run(_rounds(settings, texts, fits, rounds, seconds))


async def _rounds(
    settings: Settings, texts: Sequence[str], fits: Mapping[str, int], rounds: int, seconds: float
) -> None:
    worker = Worker(settings, load_predictor(settings.model.path))
    await worker.start()
    spare_long_lived()
    outbox = Outbox(kafka_arguments(settings.kafka))
    await outbox.start()
    feed = _Feed(worker, outbox, texts)
    await feed.flood(CAPACITY_S / 3)
    rate = await feed.flood(CAPACITY_S) / 2
    print(f"  {2 * rate:.0f} events a second at most, so {rate:.0f} a second are played")
    latencies: dict[str, list[list[float]]] = {name: [] for name in (ALONE, *fits)}
    begun = {way: cpu_s(number) for way, number in fits.items()}
    for number in range(rounds):
        # Another order each round, or a way would always follow the same one.
        ways = random.Random(number).sample([*latencies], len(latencies))
        for way in ways:
            if way in fits:
                os.kill(fits[way], signal.SIGCONT)
            await asyncio.sleep(SETTLE_S)
            latencies[way].append(await feed.play(rate, seconds, seed=number))
            if way in fits:
                os.kill(fits[way], signal.SIGSTOP)
    await worker.stop()
    await outbox.stop()
    spent = {way: cpu_s(fits[way]) - begun[way] for way in fits}
    print(f"  {'':18} {'p50 ms':>8} {'p95 ms':>8}   to alone: p50           p95")
    for way, by_round in latencies.items():
        whole = range(rounds)
        cells = [_quantile(by_round, whole, share) for share in (0.5, 0.95)]
        ratios = "   ".join(_ratio(by_round, latencies[ALONE], share) for share in (0.5, 0.95))
        of_fit = f"   the fit had {spent[way]:.1f} s of CPU time" if way in spent else ""
        print(f"  {way:18} {cells[0]:8.1f} {cells[1]:8.1f}   {ratios}{of_fit}")


class _Feed:
    def __init__(self, worker: Worker, outbox: Outbox, texts: Sequence[str]) -> None:
        self._worker, self._outbox = worker, outbox
        self._events = events(texts)
        self._published = 0

    async def flood(self, seconds: float) -> float:
        """Events a second when there are always some waiting."""
        telemetry = self._worker.telemetry
        begun, done = time.perf_counter(), telemetry.settled
        while time.perf_counter() - begun < seconds:
            lacking = AHEAD - (self._published - telemetry.settled)
            await self._publish(max(0, lacking))
            await asyncio.sleep(POLL_S)
        rate = (telemetry.settled - done) / (time.perf_counter() - begun)
        await self._drain()
        return rate

    async def play(self, rate: float, seconds: float, *, seed: int) -> list[float]:
        """Latencies in milliseconds of events that come at random, so many a second."""
        draw = random.Random(seed)
        self._worker.telemetry.latencies_ms.clear()
        begun = at = time.perf_counter()
        while at - begun < seconds:
            at += draw.expovariate(rate)
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            await self._publish(1)
        await self._drain()
        return list(self._worker.telemetry.latencies_ms)

    async def _publish(self, count: int) -> None:
        if count:
            await self._outbox.send(list(itertools.islice(self._events, count)))
            self._published += count

    async def _drain(self) -> None:
        while self._worker.telemetry.settled < self._published:
            await asyncio.sleep(POLL_S)


@contextmanager
def _fit(lower_priority: Callable[[], None], share: float) -> Iterator[int]:
    """The id of a process that fits for ever, stopped now."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(
        target=_fit_for_ever, args=(lower_priority, share, theirs), daemon=True
    )
    process.start()
    try:
        number: int = ours.recv()
        os.kill(number, signal.SIGSTOP)
        yield number
    finally:
        process.kill()
        process.join()


def _fit_for_ever(lower_priority: Callable[[], None], share: float, pipe: Connection) -> None:
    """The deep challenge of the trainer on the shipped model, again and again."""
    torch.set_num_threads(1)
    root = load_contender(shipped(), bf16=bf16_helps(torch.device("cpu")))
    own = split_labels((), {})
    labels = [
        Label(
            str(n), "topic", one.labels["topic"][0], f"{one.text} {n}", "news", ("ann",), ((0, n),)
        )
        for n, one in enumerate(own.base)
        if len(one.labels.get("topic", ())) == 1
    ]
    data = split_labels(labels, {})
    lower_priority()
    pipe.send(os.getpid())
    while True:
        challenge_deep(root, root, data, lineage={}, watch=Watch(step=Throttle(share)))


def _ratio(
    rounds: Sequence[Sequence[float]], alone: Sequence[Sequence[float]], share: float
) -> str:
    """Of all rounds together, and where 90 % of random choices of rounds lie (bootstrap)."""
    draw = random.Random(1)
    whole = range(len(rounds))
    choices = [whole, *(draw.choices(whole, k=len(whole)) for _ in range(RESAMPLED))]
    first, *others = (
        _quantile(rounds, own, share) / _quantile(alone, own, share) for own in choices
    )
    others.sort()
    low, high = (others[int(place * RESAMPLED)] for place in (0.05, 0.95))
    return f"{first:5.2f} ({low:.2f} to {high:.2f})"


def _quantile(rounds: Sequence[Sequence[float]], chosen: Sequence[int], share: float) -> float:
    return quantile((latency for number in chosen for latency in rounds[number]), share)
