"""Urgent tickets while posts come in tenfold: a worker whole, on a device of a known speed.

Only the device is simulated: a batch takes a fixed time plus so much a token, asleep. So everything
before and after the model is what runs in service, and its own cost does not blur the waits.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import orjson
from aiokafka import AIOKafkaConsumer

from bench.broker import settings_on
from models.spec import Scores
from models.stub import StubPredictor
from stream.connections.clients import kafka_arguments
from stream.connections.outbox import Outbox, Outgoing
from stream.connections.topics import wanted_topics
from stream.demo.embedded import EmbeddedBroker, EmbeddedRedis
from stream.records import decode_scored
from stream.worker.app import Worker

# About what MiniLM takes on two CPU cores: 20 words a text make 110 texts a second.
PASS_S = 0.004
TOKEN_S = 0.00045
WORDS = 20
TICKETS_A_S = 5.0
POSTS_A_S = 30.0
FLOOD = 10
SECONDS = 20.0
SENT_EVERY_S = 0.1
END_S = 90.0


class Device(StubPredictor):
    """models.spec.Predictor that takes as long as a device of that speed."""

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        time.sleep(PASS_S + TOKEN_S * sum(map(len, tokens)))
        return super().predict(tokens, kinds)


def measure(rounds: int) -> None:
    """Print by load the 99th percentile of a ticket's way through; rounds are interleaved."""
    found: dict[str, list[float]] = {"quiet": [], "flooded": []}
    for turn in range(rounds):
        for name, waits in found.items():
            posts = POSTS_A_S * (FLOOD if name == "flooded" else 1)
            # A process each: what a flood leaves behind is not waited for.
            command = [sys.executable, "-m", "bench.flood", str(posts), str(turn)]
            said = subprocess.run(command, check=True, capture_output=True, text=True)
            waits.append(float(said.stdout))
    ratios = [flooded / quiet for quiet, flooded in zip(*found.values(), strict=True)]
    for name, values in (*found.items(), ("flooded / quiet", ratios)):
        print(
            f"{name:16} {statistics.median(values):8.2f} ({min(values):.2f} to {max(values):.2f})"
        )


async def _one(posts_a_s: float, seed: int) -> float:
    with EmbeddedBroker() as broker, EmbeddedRedis() as redis:
        settings = settings_on(broker.bootstrap, redis.url)
        broker.create_topics(list(wanted_topics(settings)))
        worker = Worker(settings, Device())
        await worker.start()
        while not worker.assigned:
            await asyncio.sleep(SENT_EVERY_S)
        outbox = Outbox(kafka_arguments(settings.kafka))
        await outbox.start()
        consumer = AIOKafkaConsumer(
            settings.topics.scored, bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest"
        )
        await consumer.start()
        sent: dict[str, float] = {}
        arrived: dict[str, float] = {}
        sending = asyncio.create_task(_send(outbox, posts_a_s, sent, random.Random(seed)))
        end = time.monotonic() + END_S
        while not (sending.done() and arrived.keys() >= sent.keys()):
            if time.monotonic() > end:
                raise TimeoutError(f"{len(sent) - len(arrived)} tickets are not out")
            for records in (await consumer.getmany(timeout_ms=20)).values():
                now = time.monotonic()
                for scored in map(decode_scored, (record.value for record in records)):
                    if scored.source == "ticket":
                        arrived[scored.id] = now
        await sending
    waits = [arrived[identity] - sent[identity] for identity in sent]
    return statistics.quantiles(waits, n=100)[98]


async def _send(
    outbox: Outbox, posts_a_s: float, sent: dict[str, float], draw: random.Random
) -> None:
    """Tickets and posts at these rates, evenly; notes when each ticket left."""
    began = time.monotonic()
    counts = {"tickets": 0, "social": 0}
    while (passed_s := time.monotonic() - began) < SECONDS:
        records = []
        for topic, rate in (("social", posts_a_s), ("tickets", TICKETS_A_S)):
            while counts[topic] < passed_s * rate:
                counts[topic] += 1
                identity = f"{topic}-{counts[topic]}"
                text = " ".join(f"w{draw.randrange(10_000)}" for _ in range(WORDS))
                value = orjson.dumps({"id": identity, "text": text})
                records.append(Outgoing(topic, identity.encode(), value))
                if topic == "tickets":
                    sent[identity] = time.monotonic()
        if records:
            await outbox.send(records)
        await asyncio.sleep(SENT_EVERY_S)


async def _say(posts_a_s: float, seed: int) -> None:
    logging.disable(logging.CRITICAL)
    print(await _one(posts_a_s, seed), flush=True)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_say(float(sys.argv[1]), int(sys.argv[2])))
