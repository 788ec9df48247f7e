"""What lies free between blocks in use goes back to the system."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from stream.runtime import heap
from stream.runtime.tasks import end
from tests.until import until

HOLES = """
import pathlib
import sys
from stream.runtime import heap

def resident() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096

blocks = [b"x" * 60_000 for _ in range(2_000)]
blocks = blocks[::50]
before = resident()
getattr(heap, sys.argv[1])()
print(before - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's heap")
@pytest.mark.parametrize("by", ["give_back", "spare_long_lived"])
def test_holes_between_blocks_in_use_are_given_back(by: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", HOLES, by], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) > 80_000_000


async def test_it_is_done_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []
    monkeypatch.setattr(heap, "TRIM_EVERY_S", 0.001)
    monkeypatch.setattr(heap, "_trim", lambda: times.append(1))
    task = asyncio.create_task(heap.trim_for_ever())
    await until(lambda: len(times) >= 3)
    await end(task)
