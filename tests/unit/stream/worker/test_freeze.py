"""A process that stands still as a whole is ended from outside the interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FROZEN = """
import asyncio, ctypes, time

from stream.worker.freeze import ended_if_frozen


async def main():
    async with ended_if_frozen(1.0):
        await asyncio.sleep({alive_s})
        {block}
    print("still here")


asyncio.run(main())
"""


def run(*, alive_s: float, block: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FROZEN.format(alive_s=alive_s, block=block)],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "block", ["time.sleep(3600)", "ctypes.PyDLL(None).sleep(3600)"], ids=["loop", "interpreter"]
)
def test_it_ends_with_the_stacks_whoever_holds_it(block: str) -> None:
    ended = run(alive_s=0, block=block)
    assert ended.returncode == 1
    assert "most recent call first" in ended.stderr
    assert "in main" in ended.stderr


def test_a_loop_that_turns_is_left_alone_and_the_count_ends_with_the_block() -> None:
    ended = run(alive_s=2.5, block="pass")
    assert (ended.returncode, ended.stdout) == (0, "still here\n"), ended.stderr
