"""A service that can't go on ends, whatever its tasks do with their cancellation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ENDLESS_TASK_AND_ERROR = """
import asyncio

from stream.commands.options import run_service
from stream.connections.clients import StartError


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
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr == "bellwether: the worker can't go on (gone)\n"
