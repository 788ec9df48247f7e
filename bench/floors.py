"""Ratios below which something has become slow, on any machine; CI runs it after the tests.

Both sides of a ratio run in turn in this process and are measured in its processor time. Neighbours
on the same cores only ever add to that, and to one round more than to another, so of the path each
side's best round counts. A floor lies a quarter or more below what was measured
(docs/performance.md), so that only a change of the code reaches it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from bench import stream_path
from bench.model_stage import sorted_batches, through_the_batcher
from bench.peers.scoring import padded_predictor
from models.predictor import load_predictor

ROUNDS = 5
PATH_ROUNDS = 3
# Ours through the batcher to sorted batches of 16 with padding, both in fp32.
PACKED = 0.95
# A worker around a no-op model to a plain aiokafka loop that neither checks nor judges.
PATH = 0.022
PATH_WITH_RULES = 0.017


def measure(texts: Sequence[str], records: Sequence[str]) -> list[str]:
    """Print each ratio beside its floor; returns those that are below, in words."""
    rates = stream_path.measure(records, rounds=PATH_ROUNDS)
    best = {name: max(of_rounds) for name, of_rounds in rates.items()}
    plain = best["plain aiokafka loop, per CPU-second"]
    checked = {
        "through the batcher / padded batches": (_packed(texts), PACKED),
        "worker, no rules / plain loop": (
            best["worker, no rules, per CPU-second"] / plain,
            PATH,
        ),
        "worker, shipped rules / plain loop": (
            best["worker, shipped rules, per CPU-second"] / plain,
            PATH_WITH_RULES,
        ),
    }
    below = []
    for name, (ratio, floor) in checked.items():
        line = f"{name:40} {ratio:6.3f}   floor {floor}"
        print(line)
        if ratio < floor:
            below.append(line)
    return below


def _packed(texts: Sequence[str]) -> float:
    """How many times as many texts a CPU-second; the median of rounds in turn."""
    padded, ours = padded_predictor("fp32"), load_predictor(precision="fp32")
    ours.warm_up()
    ratios = []
    for turn in range(ROUNDS + 1):
        slow = _cpu_s(lambda: sorted_batches(padded, texts))
        fast = _cpu_s(lambda: through_the_batcher(ours, texts))
        if turn:  # the first one warms up
            ratios.append(slow / fast)
    return statistics.median(ratios)


def _cpu_s(run: Callable[[], None]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began
