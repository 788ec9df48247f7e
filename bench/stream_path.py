"""The path around the model: a worker with a no-op model against a plain aiokafka loop."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Sequence
from itertools import repeat
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.broker import settings_on
from bench.no_op import NoOpPredictor
from stream.config.settings import Settings, load_settings
from stream.connections.outbox import Outgoing, open_outbox
from stream.connections.topics import wanted_topics
from stream.demo.embedded import EmbeddedBroker, EmbeddedRedis
from stream.processing.pipeline import Pipeline
from stream.records import Event, Scored, Subject
from stream.runtime.heap import spare_long_lived
from stream.signals.signal_store import Observed
from stream.worker.app import Worker

POLL_S = 0.01


def measure(texts: Sequence[str], *, rounds: int) -> dict[str, list[float]]:
    """Records a second from the first to the last output, and per CPU-second of the process.

    One figure a round, in each of which the ways take their turn. The embedded broker lives in this
    process, so its CPU time counts on both sides. The no-op model answers by hash, so the alerts
    are not those its texts deserve.
    """
    logging.disable(logging.WARNING)
    with (
        EmbeddedBroker() as broker,
        EmbeddedRedis() as redis,
        NamedTemporaryFile(suffix=".toml") as no_rules,
    ):
        Path(no_rules.name).write_text("rule = []\n")
        without = {"rules": Path(no_rules.name)}
        broker.create_topics([*wanted_topics(load_settings(None)), "plain-out"])
        asyncio.run(_fill(settings_on(broker.bootstrap, redis.url), texts))

        def ruleless() -> Settings:
            """Each in a group of its own, which reads everything."""
            return settings_on(broker.bootstrap, redis.url, alerting=without)

        ways: dict[str, Callable[[], Coroutine[Any, Any, tuple[float, float]]]] = {
            "plain aiokafka loop": lambda: _plain_loop(broker.bootstrap, len(texts)),
            "worker, decoding and output alone": lambda: _worker(
                _Unjudging, ruleless(), len(texts)
            ),
            "worker, no rules": lambda: _worker(Worker, ruleless(), len(texts)),
            "worker, shipped rules": lambda: _worker(
                Worker, settings_on(broker.bootstrap, redis.url), len(texts)
            ),
        }
        rates: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            for name, way in ways.items():
                a_second, a_cpu_second = asyncio.run(way())
                rates[name].append(a_second)
                rates[f"{name}, per CPU-second"].append(a_cpu_second)
    return rates


async def _fill(settings: Settings, texts: Sequence[str]) -> None:
    async with open_outbox(settings.kafka) as outbox:
        for start in range(0, len(texts), 2_000):
            await outbox.send(
                [
                    Outgoing(
                        "news", str(place).encode(), orjson.dumps({"id": str(place), "text": text})
                    )
                    for place, text in enumerate(texts[start : start + 2_000], start)
                ]
            )


class _NothingKept:
    """In place of all that finds or remembers something: no subject, no copy, no window."""

    def find(self, event: Event, topic: str | None) -> tuple[Subject, ...]:
        del event, topic
        return ()

    async def mark(self, batch: Sequence[Scored]) -> list[Scored]:
        return list(batch)

    async def observe(self, batch: Sequence[Scored], asked: Collection[str]) -> Observed:
        del asked
        return Observed(repeat({}, len(batch)), [0] * len(batch), {}, [None] * len(batch))


class _Unjudging(Worker):
    """Reads, checks, scores, routes and sends, and that is all."""

    def _new_pipeline(self) -> Pipeline:
        pipeline = super()._new_pipeline()
        nothing: Any = _NothingKept()
        pipeline._subjects = pipeline._novelty = pipeline._signals = nothing  # noqa: SLF001
        return pipeline


async def _worker(kind: type[Worker], settings: Settings, count: int) -> tuple[float, float]:
    worker = kind(settings, NoOpPredictor())
    await worker.start()
    spare_long_lived()
    while worker.telemetry.settled == 0:
        await asyncio.sleep(POLL_S)
    done, wall, cpu = worker.telemetry.settled, time.perf_counter(), time.process_time()
    while worker.telemetry.settled < count:
        await asyncio.sleep(POLL_S)
    rates = _rates(count - done, wall, cpu)
    await worker.stop()
    return rates


async def _plain_loop(bootstrap: str, count: int) -> tuple[float, float]:
    consumer = AIOKafkaConsumer(
        "news",
        bootstrap_servers=bootstrap,
        group_id=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
    await consumer.start()
    await producer.start()
    partitions = sorted(await producer.partitions_for("plain-out"))
    done, wall, cpu, turn = 0, 0.0, 0.0, 0
    while done < count:
        fetched = await consumer.getmany(timeout_ms=1_000, max_records=500)
        if not wall:
            wall, cpu = time.perf_counter(), time.process_time()
        for records in fetched.values():
            batch = producer.create_batch()
            pending = []
            for record in records:
                value = orjson.dumps({**orjson.loads(record.value), "label": "neutral"})
                if batch.append(key=record.key, value=value, timestamp=None) is None:
                    pending.append(
                        await producer.send_batch(
                            batch, "plain-out", partition=partitions[turn % len(partitions)]
                        )
                    )
                    turn += 1
                    batch = producer.create_batch()
                    batch.append(key=record.key, value=value, timestamp=None)
            pending.append(
                await producer.send_batch(
                    batch, "plain-out", partition=partitions[turn % len(partitions)]
                )
            )
            turn += 1
            await asyncio.gather(*pending)
            done += len(records)
        await consumer.commit()
    rates = _rates(done, wall, cpu)
    await consumer.stop()
    await producer.stop()
    return rates


def _rates(records: int, wall: float, cpu: float) -> tuple[float, float]:
    return records / (time.perf_counter() - wall), records / (time.process_time() - cpu)
