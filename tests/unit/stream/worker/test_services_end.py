"""A service that can't go on ends, whatever its tasks do with their cancellation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server_process import free_ports

ROOT = Path(__file__).parents[4]
DEADLINE_S = 60

ENDLESS_TASK_AND_ERROR = """
import asyncio

from stream.commands.service import run_service
from stream.runtime.errors import StartError


async def never_ends():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass


async def serve(stop):
    task = asyncio.create_task(never_ends())
    await asyncio.sleep(0)
    raise StartError("the worker can't go on (gone)")


run_service(serve, leave_at_once=True)
"""


def test_a_task_that_swallows_its_cancellation_keeps_no_broken_worker_alive() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", ENDLESS_TASK_AND_ERROR],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr == "bellwether: the worker can't go on (gone)\n"


@pytest.mark.parametrize("service", ["worker", "trainer"])
def test_one_that_still_waits_for_kafka_ends_when_told_to(service: str, tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.acceptance.stub_worker", service],
        cwd=ROOT,
        env={
            **os.environ,
            "BELLWETHER_KAFKA__BOOTSTRAP": f"127.0.0.1:{nobody}",
            "BELLWETHER_MODEL__REGISTRY": str(tmp_path / "registry"),
            "BELLWETHER_TRAINER__FOLDER": str(tmp_path / "trainer"),
            "BELLWETHER_WORKER__START_TIMEOUT_S": "1000",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        said = next((line for line in process.stderr if "waiting for Kafka" in line), "")
        assert said, "it ended before it waited"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.communicate()
