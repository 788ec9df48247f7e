"""A real deployment for acceptance tests: worker processes, and eyes on every output."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from confluent_kafka.admin import AdminClient

from tests.acceptance.workload import Record

DEADLINE_S = 180.0
POLL_S = 0.05
PARTITIONS = 3

BELLWETHER = (str(Path(sys.executable).with_name("bellwether")),)
# A command that works as bellwether does, with a model that costs nothing.
STUB_WORKER = (sys.executable, "-m", "tests.acceptance.stub_worker")
HALTED = (sys.executable, "-m", "tests.acceptance.halted")

_names = itertools.count(1)

Publish = Callable[[Iterable[Record]], Awaitable[None]]


@dataclass
class Deployment:
    """Workers of one consumer group on topics and Redis keys of their own."""

    bootstrap: str
    redis_url: str
    folder: Path
    more_settings: str = ""
    partitions: int = PARTITIONS
    worker: Sequence[str] = BELLWETHER
    name: str = field(default_factory=lambda: f"t{os.getpid()}-{next(_names)}")
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return f"{self.name}.bellwether."

    def topic(self, name: str) -> str:
        """Our own topics by their contract name, the sources by theirs."""
        return (
            f"{self.name}-{name}" if name in {"news", "social", "tickets"} else self.prefix + name
        )

    @property
    def config(self) -> Path:
        path = self.folder / f"{self.name}.toml"
        path.write_text(
            f"""
            [kafka]
            bootstrap = "{self.bootstrap}"
            group = "{self.name}"
            prefix = "{self.prefix}"
            partitions = {self.partitions}
            session_timeout_s = 6
            [redis]
            url = "{self.redis_url}"
            prefix = "{self.name}:"
            [[sources]]
            topic = "{self.topic("news")}"
            kind = "news"
            [[sources]]
            topic = "{self.topic("social")}"
            kind = "social"
            [[sources]]
            topic = "{self.topic("tickets")}"
            kind = "ticket"
            {self.more_settings}
            """
        )
        return path

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def trainer_log(self) -> Path:
        return self.folder / f"{self.name}-trainer.log"

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*BELLWETHER, *arguments, "--config", str(self.config)],
            check=check,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    def start_worker(self, *, halt_before: str = "") -> subprocess.Popen[bytes]:
        """halt_before: a place as tests/acceptance/halted.py has it, to stand still at."""
        return self._start(self.worker, "worker", self.log, halt_before)

    def start_trainer(self, *, halt_before: str = "") -> subprocess.Popen[bytes]:
        return self._start(BELLWETHER, "trainer", self.trainer_log, halt_before)

    def _start(
        self, program: Sequence[str], command: str, log: Path, halt_before: str
    ) -> subprocess.Popen[bytes]:
        if halt_before:
            program = (*HALTED, halt_before, str(self._halt_file(len(self.processes))))
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*program, command, "--config", str(self.config)], stdout=output, stderr=output
            )
        self.processes.append(process)
        return process

    def _halt_file(self, number: int) -> Path:
        return self.folder / f"{self.name}-{number}.halted"

    async def kill_at_halt(self, *processes: subprocess.Popen[bytes]) -> None:
        """Wait until each stands still where it was told to, then kill -9 all of them."""
        deadline = time.monotonic() + DEADLINE_S
        for process in processes:
            file = self._halt_file(self.processes.index(process))
            while not file.exists():
                assert process.poll() is None, f"ended before its halt\n{self.tail()}"
                assert time.monotonic() < deadline, f"did not come to its halt\n{self.tail()}"
                await asyncio.sleep(POLL_S)
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    async def says(
        self, log: Path, words: str, *, times: int = 1, deadline_s: float = DEADLINE_S
    ) -> None:
        """Return when a service has logged the words so many times."""
        deadline = time.monotonic() + deadline_s
        while (text := _text_of(log)).count(words) < times:
            assert time.monotonic() < deadline, f"{words!r} not said in {deadline_s} s:\n{text}"
            await asyncio.sleep(POLL_S)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    async def ready(self) -> None:
        """Return when the worker has made its topics and consumes."""
        deadline = time.monotonic() + DEADLINE_S
        while "consuming" not in (self.log.read_text() if self.log.exists() else ""):
            assert time.monotonic() < deadline, f"the worker did not start\n{self.tail()}"
            assert self.processes[-1].poll() is None, f"the worker ended\n{self.tail()}"
            await asyncio.sleep(POLL_S)

    async def shared_by(self, workers: int) -> None:
        """Return when so many workers consume and each has partitions."""
        await self.says(self.log, "consuming", times=workers)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        deadline = time.monotonic() + DEADLINE_S
        while True:
            described = admin.describe_consumer_groups([self.name])[self.name]
            group = await asyncio.to_thread(described.result)
            shares = [len(one.assignment.topic_partitions) for one in group.members]
            if len(shares) == workers and min(shares) > 0:
                return
            assert time.monotonic() < deadline, f"shares of the partitions: {shares}\n{self.tail()}"
            await asyncio.sleep(POLL_S)

    async def publish(self, records: Iterable[Record]) -> None:
        """Send (topic name, key, value) and wait until Kafka has all of them."""
        async with self.publisher() as publish:
            await publish(records)

    @contextlib.asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publish]:
        """publish() for as often as you like, also through an outage of Kafka."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            enable_idempotence=True,
            max_request_size=4_000_000,
            # aiokafka gives a batch up whose partition has had no leader for so long.
            request_timeout_ms=round(DEADLINE_S * 1000),
        )

        async def publish(records: Iterable[Record]) -> None:
            sent = [
                await producer.send(self.topic(name), value=value, key=key)
                for name, key, value in records
            ]
            await asyncio.gather(*sent)

        await producer.start()
        try:
            yield publish
        finally:
            await producer.stop()

    async def read(
        self,
        name: str,
        enough: Callable[[list[ConsumerRecord[bytes, bytes]]], bool],
        *,
        deadline_s: float = DEADLINE_S,
    ) -> list[ConsumerRecord[bytes, bytes]]:
        """All records of a topic from its beginning, until there are enough of them."""
        topic = self.topic(name)
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self.bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=8_000_000,
        )
        deadline = time.monotonic() + deadline_s
        await consumer.start()
        try:
            records: list[ConsumerRecord[bytes, bytes]] = []
            while not enough(records):
                assert time.monotonic() < deadline, (
                    f"{topic}: only {len(records)} records in {deadline_s} s\n{self.tail()}"
                )
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    records.extend(batch)
            # What comes too much must be seen too.
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                records.extend(batch)
            return records
        finally:
            await consumer.stop()

    async def committed(self, *names: str) -> dict[str, int]:
        """Committed offsets of the group, summed over each topic's partitions."""
        totals = dict.fromkeys(names, 0)
        for (name, _), offset in (await self.offsets(*names)).items():
            totals[name] += offset
        return totals

    async def offsets(self, *names: str) -> dict[tuple[str, int], int]:
        """Committed offsets of the group by topic, as publish() names it, and partition."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap, group_id=self.name, enable_auto_commit=False
        )
        await consumer.start()
        try:
            return {
                (name, partition): await consumer.committed(
                    TopicPartition(self.topic(name), partition)
                )
                or 0
                for name in names
                for partition in range(self.partitions)
            }
        finally:
            await consumer.stop()

    def tail(self) -> str:
        if not self.log.exists():
            return "no log"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


def values(records: Iterable[ConsumerRecord[bytes, bytes]]) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in records]


def _text_of(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""
