"""A server for tests as a child process: start until it answers, kill, start again, stop."""

from __future__ import annotations

import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

STOP_DEADLINE_S = 20.0
POLL_S = 0.05
LOG_TAIL_LINES = 40


class MissingComponentError(Exception):
    """A program the tests need is not on this machine; the message says what to install."""


class ServerError(Exception):
    """A server did not start or died; the message ends with the last lines of its log."""


class ServerProcess(ABC):
    """One server, its command and its log file."""

    def __init__(self, command: Sequence[str], *, log: Path, start_deadline_s: float) -> None:
        self._command = list(command)
        self._log = log
        self._start_deadline_s = start_deadline_s
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves requests."""

    def start(self) -> None:
        """Start and wait until the server answers.

        Raises ServerError when it exits first or the deadline passes.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + self._start_deadline_s
        while not self.answers():
            if self._process.poll() is not None:
                raise ServerError(f"exited with {self._process.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(
                    f"no answer within {self._start_deadline_s:.0f} s:\n{self.log_tail()}"
                )
            time.sleep(POLL_S)

    def kill(self) -> None:
        """End it as a crash would: SIGKILL, nothing flushed or said good-bye to."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it in good order; kill it when that takes too long."""
        if not self._process:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return "\n".join(lines[-LOG_TAIL_LINES:])


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that are free now, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
