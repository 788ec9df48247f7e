"""A real redis-server for tests, on a free port with its data in a folder of the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.server_process import MissingComponentError, ServerProcess, free_ports

START_DEADLINE_S = 15.0


@contextmanager
def redis_server(folder: Path, *, durable: bool = False) -> Iterator[RedisServer]:
    """A started server; durable keeps every write over kill() and start() (appendfsync always).

    Raises MissingComponentError without redis-server, ServerError when it does not come up.
    """
    server = RedisServer(folder, durable=durable)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class RedisServer:
    """One server; after kill() or stop(), start() brings it back on the same port."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        program = shutil.which("redis-server")
        if not program:
            raise MissingComponentError(
                "needs redis-server on the PATH: install it (Debian: redis-server, Homebrew: redis)"
            )
        (port,) = free_ports(1)
        self.url = f"redis://127.0.0.1:{port}/0"
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if durable else []
        place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
        self._process = ServerProcess(
            [program, *place, *keep, "--loglevel", "warning"],
            log=folder / "redis.log",
            answers=self._answers,
            start_deadline_s=START_DEADLINE_S,
        )
        self.start = self._process.start
        self.kill = self._process.kill
        self.stop = self._process.stop
        self.log_tail = self._process.log_tail

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
