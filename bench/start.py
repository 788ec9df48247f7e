"""What a process costs before the shipped model has scored its first texts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from bench.machine import cpu_s, memory_mib

SCORE = """
import sys
from models.forward_paths import SAMPLE_TEXTS
from models.predictor import load_predictor
predictor = load_predictor()
predictor.warm_up()
predictor.predict(predictor.tokenize(SAMPLE_TEXTS))
print("scored", flush=True)
sys.stdin.read()
"""


def measure(rounds: int) -> Iterator[tuple[float, float, float]]:
    """Of each round: seconds, seconds of processor time, resident MiB. Linux only."""
    for _ in range(rounds):
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-c", SCORE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            if not process.stdout.readline():
                raise RuntimeError("the process ended before it had scored anything")
            yield time.perf_counter() - began, cpu_s(process.pid), memory_mib(process.pid)
            process.stdin.close()
