"""How long a rollback takes: from calling the command to the first event that the former scores.

The worker and the command are processes of their own on a real Kafka; some texts always wait.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import orjson
from confluent_kafka import Consumer, Producer

from bench.texts import TOPICS, events
from models.checkpoint import read_checkpoint, write_checkpoint
from models.description import shipped
from models.registry import CHAMPION, Registry
from stream.config.settings import Settings, load_settings
from stream.connections.topics import prepare_topics
from stream.demo.embedded import EmbeddedRedis
from stream.records import utc_now

KINDS = ("news", "social", "ticket")
AHEAD = 64
# Long enough for the worker to have finished what the swap before left to do.
SETTLE_S = 3.0
DEADLINE_S = 120.0
PROGRAM = (sys.executable, "-c", "from stream.cli import main; main()")


def measure(texts: Sequence[str], *, rounds: int, bootstrap: str) -> None:
    """Prints the seconds, by what the version that is taken back had changed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwether-")))
        redis = stack.enter_context(EmbeddedRedis())
        file = _settings_file(folder, bootstrap, redis.url)
        settings = load_settings(file)
        asyncio.run(prepare_topics(settings))
        registry = Registry(str(settings.model.registry))
        first, changed = _versions(registry, folder)
        log = stack.enter_context((folder / "log").open("wb"))
        worker = subprocess.Popen([*PROGRAM, "--config", str(file), "worker"], stderr=log)
        stack.callback(worker.wait)
        stack.callback(worker.kill)
        load = _Load(settings, texts, worker)
        load.run_until_scored_by(first)
        took: dict[str, list[float]] = {name: [] for name in changed}
        moved: dict[str, list[float]] = {name: [] for name in changed}
        for _ in range(rounds):
            for name, version in changed.items():
                _models(file, "promote", version, "--why", "bench").wait()
                load.run_until_scored_by(version)
                load.run_for(SETTLE_S)
                begun, begun_at = time.monotonic(), utc_now()
                command = _models(file, "rollback")
                took[name].append(load.run_until_scored_by(first) - begun)
                command.wait()
                moved_at = registry.history(CHAMPION)[-1].since
                moved[name].append((moved_at - begun_at).total_seconds())
    for name, seconds in took.items():
        print(
            f"  it differs in its {name}: median {statistics.median(seconds):.2f} s "
            f"({min(seconds):.2f} to {max(seconds):.2f}), of which the command's start "
            f"{statistics.median(moved[name]):.2f} s"
        )


class _Load:
    """Keeps AHEAD texts under way as long as one of its methods runs."""

    def __init__(
        self, settings: Settings, texts: Sequence[str], worker: subprocess.Popen[bytes]
    ) -> None:
        self._worker = worker
        self._events = events(texts)
        self._topics = {one: f"{settings.kafka.group}-{one}" for one in TOPICS}
        self._under_way = 0
        bootstrap = {"bootstrap.servers": settings.kafka.bootstrap}
        self._producer = Producer(bootstrap)
        self._consumer = Consumer(
            {**bootstrap, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
        )
        self._consumer.subscribe([settings.topics.scored])

    def run_until_scored_by(self, version: str) -> float:
        """The moment at which the first event scored by it was here."""
        deadline = time.monotonic() + DEADLINE_S
        while version not in self._models():
            if self._worker.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the worker has ended, or does not come to serve {version}")
        return time.monotonic()

    def run_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._models()

    def _models(self) -> set[str]:
        """Whose answers have come since."""
        for one in islice(self._events, max(0, AHEAD - self._under_way)):
            self._producer.produce(self._topics[one.topic], one.value, one.key)
            self._under_way += 1
        self._producer.poll(0)
        came = self._consumer.consume(AHEAD, timeout=0.02)
        self._under_way -= len(came)
        return {orjson.loads(one.value())["model"] for one in came}


def _models(file: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [*PROGRAM, "--config", str(file), "models", *arguments]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def _versions(registry: Registry, folder: Path) -> tuple[str, dict[str, str]]:
    """The shipped one as champion, and one each whose heads, and whose encoder too, differ."""
    first = registry.add(shipped()).version
    registry.point(CHAMPION, first, by="bench", why="the first", now=utc_now())
    checkpoint, weights = read_checkpoint(shipped())
    changed = {}
    for name, part in (("heads", "heads.bias"), ("encoder", "low_rank.")):
        other = {
            key: tensor * 1.001 if key.startswith(part) else tensor
            for key, tensor in weights.items()
        }
        changed[name] = write_checkpoint(folder / name, checkpoint, other).version
        registry.add(folder / name)
    return first, changed


def _settings_file(folder: Path, bootstrap: str, redis_url: str) -> Path:
    name = f"bench-{uuid.uuid4().hex[:8]}"
    sources = "\n".join(
        f'[[sources]]\ntopic = "{name}-{topic}"\nkind = "{kind}"'
        for topic, kind in zip(TOPICS, KINDS, strict=True)
    )
    file = folder / "bellwether.toml"
    file.write_text(
        f"""
        [kafka]
        bootstrap = "{bootstrap}"
        group = "{name}"
        prefix = "{name}.bellwether."
        [redis]
        url = "{redis_url}"
        prefix = "{name}:"
        [model]
        registry = "{folder}/registry"
        {sources}
        """
    )
    return file
