"""From topic to topic with the shipped model, saturated: a worker and what people would write."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.machine import cpu_s
from bench.model_stage import full_batches
from bench.peers import environment
from bench.peers.scoring import PARTITIONS, best_precision
from bench.texts import events
from models.forward_paths import PRECISIONS
from models.int8 import multiplies_int8
from models.predictor import load_predictor
from stream.demo.embedded import EmbeddedRedis

START_S = 180.0
# The first answers of a process that did not warm up are slow, and are nobody's steady rate.
WARM_S = 3.0
MORE_S = 60.0
WORKER = "from stream.cli import main; main()"
OURS = "ours: bellwether worker, shipped rules"
OURS_IN = {precision: f'the same with model.precision = "{precision}"' for precision in PRECISIONS}
SETTING = {OURS: "auto", **{name: precision for precision, name in OURS_IN.items()}}
OFFLINE = "full batches offline, no Kafka"
HANDWRITTEN = f"hand-written aiokafka loop, sorted 16s, {best_precision()}"
OPENVINO = "hand-written loop, sorted 16s, OpenVINO int8"
ALIKE = {HANDWRITTEN: OURS_IN[best_precision()], OPENVINO: OURS_IN["int8"]}
"""Ours with the precision of a peer that rounds too, so that the ratio is that of the programs."""
PEERS = {
    "Faust, an event at a time, three pipelines, fp32": "faust_pipelines",
    "Faust take(32), shared encoder, fp32": "faust_take",
    HANDWRITTEN: "handwritten",
}
READY_MADE = {
    "Quix Streams, an event at a time, fp32": "quix",
    "Bytewax collect(64), sorted, fp32": "bytewax_collect",
}
if multiplies_int8():
    READY_MADE[OPENVINO] = "openvino_int8"


@dataclass(frozen=True)
class Place:
    """Where the contenders work, and the records that wait there."""

    bootstrap: str
    redis_url: str
    source: str
    count: int
    folder: Path


def measure(
    texts: Sequence[str], *, rounds: int, seconds: float, bootstrap: str, ready_made: bool
) -> None:
    """Prints events a second and a CPU-second of each way, all in turn in each round.

    ready_made: with the peers that need an environment of their own, which is made if need be.
    """
    ways = [OURS, *dict.fromkeys((OURS_IN["fp32"], ALIKE[HANDWRITTEN])), OFFLINE, *PEERS]
    if ready_made:
        environment.interpreter()
        ways += [*READY_MADE, *([ALIKE[OPENVINO]] if OPENVINO in READY_MADE else ())]
    rates: dict[str, list[float]] = {name: [] for name in ways}
    per_cpu: dict[str, list[float]] = {name: [] for name in ways}
    with ExitStack() as stack:
        place = Place(
            bootstrap,
            stack.enter_context(EmbeddedRedis()).url,
            f"bench-{uuid.uuid4().hex[:8]}",
            len(texts),
            Path(stack.enter_context(tempfile.TemporaryDirectory())),
        )
        fill(bootstrap, place.source, texts)
        for number in range(rounds):
            for name in random.Random(number).sample(ways, len(ways)):
                run = _offline(texts, seconds) if name == OFFLINE else _run(name, place, seconds)
                rates[name].append(run[0])
                per_cpu[name].append(run[1])
                print(f"  round {number + 1}: {name}: {run[0]:.1f}", file=sys.stderr, flush=True)
    for title, found in (("a second", rates), ("a CPU-second", per_cpu)):
        print(f"\nend to end, saturated, {rounds} rounds: events {title}, and ours to it")
        for name in ways:
            print(f"  {name:52} {statistics.median(found[name]):8.1f} {_ratio(found, OURS, name)}")
            if (alike := ALIKE.get(name)) in found:
                print(f"  {'… and ours in that precision':52} {'':8} {_ratio(found, alike, name)}")


def _ratio(found: Mapping[str, Sequence[float]], ours: str, other: str) -> str:
    ratios = sorted(a / b for a, b in zip(found[ours], found[other], strict=True))
    return f"{statistics.median(ratios):8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def fill(
    bootstrap: str,
    topic: str,
    texts: Sequence[str],
    *,
    partitions: int = PARTITIONS,
    compression: str = "none",
) -> None:
    """Create the topic, and let an event of each text wait there."""
    create_topic(bootstrap, topic, partitions)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 20,
            "compression.type": compression,
            "queue.buffering.max.messages": max(100_000, len(texts)),
        }
    )
    for number, one in enumerate(islice(events(texts), len(texts))):
        producer.produce(topic, one.value, one.key, partition=number % partitions)
        producer.poll(0)
    producer.flush()


def create_topic(bootstrap: str, topic: str, partitions: int = PARTITIONS) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for created in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
        created.result()


def _run(name: str, place: Place, seconds: float) -> tuple[float, float]:
    group = f"bench-{uuid.uuid4().hex[:8]}"
    sink = f"{group}.bellwether.scored"
    create_topic(place.bootstrap, sink)
    log = place.folder / f"{group}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(name, place, group),
            env={
                **os.environ,
                "PEER_BOOTSTRAP": place.bootstrap,
                "PEER_GROUP": group,
                "PEER_IN": place.source,
                "PEER_OUT": sink,
            },
            cwd=Path(__file__).parents[1],
            stdout=output,
            stderr=output,
        )
    try:
        arrivals = _arrivals(place.bootstrap, sink)
        deadline = time.monotonic() + START_S
        while not next(arrivals):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log.read_text(errors="replace")[-2_000:]
                raise RuntimeError(f"{name} wrote nothing:\n{tail}")
        return _rate(arrivals, process.pid, place.count, seconds)
    finally:
        process.kill()
        process.wait()


def _rate(arrivals: Iterator[int], pid: int, count: int, seconds: float) -> tuple[float, float]:
    """From an arrival to the last one within that time: events a second, and a CPU-second."""
    warm = time.monotonic() + WARM_S
    before = 0
    while time.monotonic() < warm:
        before += next(arrivals)
    while not (came := next(arrivals)):
        if time.monotonic() > warm + MORE_S:
            raise RuntimeError(f"all came within {WARM_S} s; give more --events")
    before += came
    began, cpu_began = last, cpu = time.monotonic(), cpu_s(pid)
    done = 0
    while time.monotonic() < began + seconds and before + done < 0.95 * count:
        if came := next(arrivals):
            done, last, cpu = done + came, time.monotonic(), cpu_s(pid)
    if not done or cpu == cpu_began:
        raise RuntimeError(f"too little came within {seconds} s; give more --seconds or --events")
    return done / (last - began), done / (cpu - cpu_began)


def _arrivals(bootstrap: str, topic: str) -> Iterator[int]:
    """For ever, how many records have come since it was asked before."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        while True:
            yield len(consumer.consume(1_000, timeout=0.1))
    finally:
        consumer.close()


def _command(name: str, place: Place, group: str) -> list[str]:
    if module := (PEERS | READY_MADE).get(name):
        python = environment.interpreter() if name in READY_MADE else sys.executable
        peer = [str(python), "-m", f"bench.peers.{module}"]
        faust = ["--datadir", str(place.folder / group), "worker", "-l", "warn", "--without-web"]
        return [*peer, *faust] if module.startswith("faust") else peer
    return command_of_a_worker(
        place.folder / f"{group}.toml",
        bootstrap=place.bootstrap,
        group=group,
        redis_url=place.redis_url,
        source=place.source,
        model=f'precision = "{SETTING[name]}"',
    )


def command_of_a_worker(
    settings: Path,
    *,
    bootstrap: str,
    group: str,
    redis_url: str,
    source: str,
    model: str = "",
    alerting: str = "",
    program: str = WORKER,
) -> list[str]:
    """Writes its settings; the group is also the prefix of its topics and keys.

    model and alerting are lines of those sections.
    """
    settings.write_text(
        f"""
        [kafka]
        bootstrap = "{bootstrap}"
        group = "{group}"
        prefix = "{group}.bellwether."
        [redis]
        url = "{redis_url}"
        prefix = "{group}.bellwether."
        [model]
        {model}
        [alerting]
        {alerting}
        [[sources]]
        topic = "{source}"
        kind = "news"
        """
    )
    return [sys.executable, "-c", program, "worker", "--config", str(settings)]


def _offline(texts: Sequence[str], seconds: float) -> tuple[float, float]:
    predictor = load_predictor()
    predictor.warm_up()
    print(f"  offline: {predictor.description}", file=sys.stderr)
    # What the others read, a number at the end of each text included.
    read = list(islice(events(texts), len(texts)))
    some = [
        str(orjson.loads(one.value)["text"])
        for one in random.Random(1).sample(read, min(512, len(read)))
    ]
    done, began, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() < began + seconds:
        full_batches(predictor, some)
        done += len(some)
    return done / (time.perf_counter() - began), done / (time.process_time() - cpu)
