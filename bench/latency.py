"""From a record on its topic to the alert it causes, beside what the model alone takes."""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from confluent_kafka import Consumer, Producer

from bench.end_to_end import START_S, command_of_a_worker, create_topic
from bench.machine import quantile
from bench.model_stage import cut_full
from bench.texts import events
from bench.workers import started
from models.predictor import TorchPredictor, load_predictor
from stream.demo.embedded import EmbeddedRedis
from stream.records import decode_alert

# Of ten events one has an alert, whatever the model says of it.
RULES = """
[[rule]]
name = "a-tenth"
when = 'event.id.endsWith("0")'
subject = "event"
severity = "info"
title = "{subject}"
"""
BUSY = 0.7
A_QUIET_S = 5.0
LAST_S = 60.0


def measure(texts: Sequence[str], *, rounds: int, seconds: float, bootstrap: str) -> None:
    """Prints p50 on a quiet stream and p99 at 70 % of capacity, beside what the model takes."""
    one_s, full_s = _model_alone(texts)
    print(f"  the model alone: one text {one_s * 1e3:.1f} ms, a full batch {full_s * 1e3:.1f} ms")
    with ExitStack() as stack:
        redis = stack.enter_context(EmbeddedRedis())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        group = f"bench-{uuid.uuid4().hex[:8]}"
        source = f"{group}.news"
        for topic in (source, f"{group}.bellwether.alerts"):
            create_topic(bootstrap, topic)
        (folder / "rules.toml").write_text(RULES)
        command = command_of_a_worker(
            folder / "worker.toml",
            bootstrap=bootstrap,
            group=group,
            redis_url=redis.url,
            source=source,
            alerting=f'rules = "{folder / "rules.toml"}"',
        )
        log = folder / "worker.log"
        stack.enter_context(started(command, log, 1))
        feed = stack.enter_context(_feed(bootstrap, source, f"{group}.bellwether.alerts", texts))
        try:
            feed.play(64, 1e9, deadline_s=START_S)
        except RuntimeError as error:
            raise RuntimeError(f"{error}:\n{log.read_text(errors='replace')[-1_000:]}") from None
        for number in range(rounds):
            came = feed.play(len(texts), 1e9)
            # From the first sending on: all work counts, reading and decoding too.
            capacity = len(texts) / (came[-1][0] - min(at - took for at, took in came))
            quiet = feed.play(int(seconds * A_QUIET_S), A_QUIET_S)
            busy = feed.play(int(seconds * BUSY * capacity), BUSY * capacity, seed=number + 1)
            p50 = quantile((took for _, took in quiet), 0.5)
            busy_p50, busy_p99 = (quantile((took for _, took in busy), one) for one in (0.5, 0.99))
            print(
                f"  round {number + 1}: {capacity:.0f} events a second at most; "
                f"{A_QUIET_S:.0f} a second: p50 {p50 * 1e3:.1f} ms, {p50 / one_s:.2f} of one text; "
                f"{BUSY * capacity:.0f} a second: p50 {busy_p50 * 1e3:.0f} ms, "
                f"p99 {busy_p99 * 1e3:.0f} ms, {busy_p99 / full_s:.2f} of a full batch",
                flush=True,
            )


def _model_alone(texts: Sequence[str]) -> tuple[float, float]:
    """Seconds of a forward pass, medians: over one text, and over batches as they come."""
    predictor = load_predictor()
    predictor.warm_up()
    print(f"  {predictor.description}")
    tokens = predictor.tokenize(texts[:1_000])
    full = cut_full(predictor, tokens)[:30]
    _median_s(predictor, full)  # the first time of each size is oneDNN's
    return _median_s(predictor, [[one] for one in tokens[:200]]), _median_s(predictor, full)


def _median_s(predictor: TorchPredictor, batches: Sequence[Sequence[list[int]]]) -> float:
    took: list[float] = []
    for batch in batches:
        began = time.perf_counter()
        predictor.predict(batch)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


class _Feed:
    """Sends events, and sees their alerts come."""

    def __init__(self, producer: Producer, topic: str, texts: Sequence[str]) -> None:
        self._producer, self._topic = producer, topic
        self._events = events(texts)
        self.came: dict[str, float] = {}
        self.stopping = False

    def play(
        self, count: int, a_second: float, *, seed: int = 0, deadline_s: float = LAST_S
    ) -> list[tuple[float, float]]:
        """(arrival, latency) in seconds by arrival, of events that come at random."""
        draw = random.Random(seed)
        sent: dict[str, float] = {}
        at = time.monotonic()
        for event in islice(self._events, count):
            at += draw.expovariate(a_second)
            time.sleep(max(0.0, at - time.monotonic()))
            name = (event.key or b"").decode()
            if name.endswith("0"):
                # The moment it was due: a sender that is late itself must not hide a wait.
                sent[name] = at
            self._producer.produce(self._topic, event.value, event.key)
            self._producer.poll(0)
        self._producer.flush()
        deadline = time.monotonic() + deadline_s
        while missing := sent.keys() - self.came.keys():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(missing)} events caused no alert")
            time.sleep(0.05)
        return sorted((self.came[one], self.came[one] - at) for one, at in sent.items())

    def look(self, consumer: Consumer) -> None:
        while not self.stopping:
            for message in consumer.consume(500, timeout=0.01):
                now = time.monotonic()
                for one in decode_alert(message.value() or b"").evidence:
                    self.came.setdefault(one.event_id, now)


@contextmanager
def _feed(bootstrap: str, source: str, alerts: str, texts: Sequence[str]) -> Iterator[_Feed]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 5,
        }
    )
    consumer.subscribe([alerts])
    feed = _Feed(Producer({"bootstrap.servers": bootstrap, "linger.ms": 0}), source, texts)
    looking = threading.Thread(target=feed.look, args=(consumer,), daemon=True)
    looking.start()
    try:
        yield feed
    finally:
        feed.stopping = True
        looking.join()
        consumer.close()
