"""Several workers of one consumer group, saturated: what each adds, on cores or on one GPU."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from bench.end_to_end import START_S, WORKER, command_of_a_worker, create_topic, fill
from bench.machine import cpu_s
from stream.demo.embedded import EmbeddedRedis

PARTITIONS = 16
NO_OP = f"""
from bench.no_op import NoOpPredictor
from stream.commands import worker
worker.load_predictor = lambda settings: NoOpPredictor()
{WORKER}
"""
# From the first answer of the last worker that came up.
WARM_S = 4.0


def measure(
    texts: Sequence[str],
    *,
    counts: Sequence[int],
    seconds: float,
    bootstrap: str,
    device: str,
    no_op: bool,
) -> None:
    """Print events a second, of all and by worker, and by CPU-second, for each number of workers.

    The records wait in a topic of 16 partitions; output topic and Redis are as in production.
    """
    source = f"bench-{uuid.uuid4().hex[:8]}"
    fill(bootstrap, source, texts, partitions=PARTITIONS, compression="zstd")
    model = "a no-op model" if no_op else f"the model on {device}"
    print(f"\n{len(texts)} events wait; {model}; the shipped rules")
    for count in counts:
        with ExitStack() as stack:
            redis = stack.enter_context(EmbeddedRedis())
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            group = f"bench-{uuid.uuid4().hex[:8]}"
            scored = f"{group}.bellwether.scored"
            create_topic(bootstrap, scored, PARTITIONS)
            command = command_of_a_worker(
                folder / "worker.toml",
                bootstrap=bootstrap,
                group=group,
                redis_url=redis.url,
                source=source,
                model=f'device = "{device}"',
                program=NO_OP if no_op else WORKER,
            )
            logs = [folder / f"{number}.log" for number in range(count)]
            pids = [stack.enter_context(started(command, log, count)) for log in logs]
            _all_at_work(bootstrap, scored, logs)
            rate, per_cpu = _rate(bootstrap, scored, pids, len(texts), seconds)
        print(
            f"  {count:2} workers: {rate:10,.0f} events a second, {rate / count:8,.0f} each, "
            f"{per_cpu:8,.0f} a CPU-second of theirs",
            flush=True,
        )


@contextmanager
def started(command: Sequence[str], log: Path, count: int) -> Iterator[int]:
    """The id of that process, one of so many on these cores."""
    cores = max(1, (os.cpu_count() or 1) // count)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            # Each tokeniser would take all cores for itself.
            env={**os.environ, "RAYON_NUM_THREADS": str(cores)},
            cwd=Path(__file__).parents[1],
            stdout=output,
            stderr=output,
        )
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _all_at_work(bootstrap: str, topic: str, logs: Sequence[Path]) -> None:
    deadline = time.monotonic() + START_S
    with _looking(bootstrap) as consumer:
        while not all("consuming" in log.read_text(errors="replace") for log in logs):
            _check(deadline, logs)
        while not _written(consumer, topic):
            _check(deadline, logs)
    time.sleep(WARM_S)


def _rate(
    bootstrap: str, topic: str, pids: Sequence[int], waiting: int, seconds: float
) -> tuple[float, float]:
    with _looking(bootstrap) as consumer:
        began, done, cpu = time.monotonic(), _written(consumer, topic), sum(map(cpu_s, pids))
        last, written, used = began, done, cpu
        while time.monotonic() < began + seconds and written < 0.95 * waiting:
            time.sleep(0.2)
            last, written = time.monotonic(), _written(consumer, topic)
            used = sum(map(cpu_s, pids))
    if written <= done:
        raise RuntimeError("nothing came while it was measured; give more --events")
    return (written - done) / (last - began), (written - done) / (used - cpu)


@contextmanager
def _looking(bootstrap: str) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex})
    try:
        yield consumer
    finally:
        consumer.close()


def _check(deadline: float, logs: Sequence[Path]) -> None:
    if time.monotonic() > deadline:
        tails = "\n".join(log.read_text(errors="replace")[-1_000:] for log in logs)
        raise RuntimeError(f"not all workers came up:\n{tails}")
    time.sleep(0.1)


def _written(consumer: Consumer, topic: str) -> int:
    """Records of the topic, by its offsets."""
    return sum(
        consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10.0)[1]
        for partition in range(PARTITIONS)
    )
