"""What running workers hold, minute by minute: memory and open files, and how fast they grow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

EVERY_S = 10.0
# A slope through fewer samples says nothing; after the first minutes caches are full.
LEAST_SAMPLES = 30
SETTLING_S = 120.0
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


class Footprint:
    """Samples processes that may be replaced meanwhile; Linux only, elsewhere it says nothing."""

    def __init__(self, processes: Sequence[subprocess.Popen[bytes]]) -> None:
        self._processes = processes
        self._samples: dict[int, list[tuple[float, float, int]]] = defaultdict(list)

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()

    async def _watch(self) -> None:
        began = time.monotonic()
        while True:
            for process in self._processes:
                if process.poll() is None:
                    with contextlib.suppress(OSError):
                        sample = (time.monotonic() - began, *_held_by(process.pid))
                        self._samples[process.pid].append(sample)
            await asyncio.sleep(EVERY_S)

    def describe(self) -> str:
        """A sentence a process that lived long enough for one."""
        found = []
        for samples in self._samples.values():
            late = [sample for sample in samples if sample[0] - samples[0][0] >= SETTLING_S]
            if len(late) < LEAST_SAMPLES:
                continue
            minutes = [at / 60 for at, _, _ in late]
            memory = [mib for _, mib, _ in late]
            files = [count for _, _, count in late]
            slope = statistics.linear_regression(minutes, memory).slope
            found.append(
                f"; a worker over {minutes[-1] - minutes[0]:.0f} min: "
                f"{memory[0]:.0f} to {memory[-1]:.0f} MiB, never under {min(memory):.0f} or over "
                f"{max(memory):.0f} ({slope:+.2f} MiB a minute), "
                f"{min(files)} to {max(files)} open files"
            )
        return "".join(found)


def _held_by(pid: int) -> tuple[float, int]:
    """Resident MiB and open files."""
    folder = Path(f"/proc/{pid}")
    pages = int((folder / "statm").read_text().split()[1])
    return pages * PAGE_MIB, len(list((folder / "fd").iterdir()))
