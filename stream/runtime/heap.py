"""Memory of a process that runs for months: Python's garbage collector and glibc's heap, tuned."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys

# Some ten thousand short-lived objects belong to the records in work, and hardly any is part of a
# cycle: at Python's own 700 they are searched hundreds of times while they are needed.
YOUNG_OBJECTS = 50_000
YOUNG_PASSES = 20
MIDDLE_PASSES = 50
TRIM_EVERY_S = 60.0


def spare_long_lived() -> None:
    """Never search what is there now again: modules, the model, compiled rules and names.

    Call it once a process, when everything that stays is loaded; what loading left behind is given
    back. What is made afterwards is collected as before, only less often.
    """
    give_back()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_PASSES, MIDDLE_PASSES)


def give_back() -> None:
    """Free what a model that was replaced left behind; blocks for some milliseconds.

    Its modules hold each other in cycles, and the collector would not look at them for days. glibc
    keeps freed memory for later; the next model is loaded into fresh memory all the same.
    """
    gc.collect()
    _trim()


async def trim_for_ever() -> None:
    """Give back once a minute what lies free between blocks in use.

    No two micro-batches are of one size, so the gaps they leave in glibc's heap fit none exactly,
    and a worker would grow for hours.
    """
    while True:
        await asyncio.sleep(TRIM_EVERY_S)
        await asyncio.to_thread(_trim)


def _trim() -> None:
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)
