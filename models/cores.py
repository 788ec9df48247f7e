"""CPU threads of a model: how many, and how concurrent batches share them."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

import torch

MAX_THREADS = 8
LANES = 2
"""A second batch takes what the first leaves idle: steps between products run on one core, and its
threads wait for each other at each of them. A third gains nothing (measured on two cores)."""
LITTLE_WORK = 64 * 384**2
"""Tokens x hidden x hidden. One core is done with so little before others, which slept, are woken
at each of a pass's hundreds of operations (measured in bf16 and int8: docs/performance.md)."""


class Cores:
    """Threads for torch's products, divided among the batches that are under way."""

    def __init__(self, threads: int = 0) -> None:
        """0 for up to eight; one core is left to the rest of the process where there are three."""
        self.threads = threads or _default_threads()
        self._sharing = threading.Lock()
        self._under_way = 0
        torch.set_num_threads(self.threads)

    @contextlib.contextmanager
    def share(self, *, alone: bool = False) -> Iterator[None]:
        """Run a batch on this thread with all threads if it is alone, else with its share of them.

        A share is fixed when a batch begins: one that came first keeps what it has. alone: with
        this thread and no other.
        """
        with self._sharing:
            self._under_way += 1
            share = 1 if alone else max(1, self.threads // self._under_way)
        if torch.get_num_threads() != share:
            torch.set_num_threads(share)
        try:
            yield
        finally:
            with self._sharing:
                self._under_way -= 1


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """For many small steps, at each of which cores that share them would wait for each other."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _default_threads() -> int:
    # Affinity counts what a container or taskset allows; macOS does not have it.
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    # On two cores the second thread gives 1.7 times the throughput and costs the event loop 4 ms at
    # its 99th percentile; from three on, a core of its own costs little.
    return min(MAX_THREADS, allowed if allowed <= 2 else allowed - 1)  # noqa: PLR2004
