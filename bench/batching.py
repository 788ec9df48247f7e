"""Batching policies side by side: a simulated device of measured speed, recorded arrivals.

Only the device is simulated. How long a batch takes is measured first, on the machine at hand,
with and without padding, so that each policy pays what its batches would cost here. Policies that
pad are given the padded path, since their servers run it on a CPU.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

import orjson
import torch

from bench.policies import Adaptive, FixedSize, Job, Ours, Policy, SortAll, TokenBudget
from models.cost import Cost, CostModel
from models.encoder import load_encoder
from models.forward_paths import ForwardPath, Pool, build
from models.packed import multiplies_bf16

LOADS = (0.5, 0.8)
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
ROUNDS = 5
BUDGET = 1_024
# Where the last batch happens to be cut moves a median by as much.
TOLERANCE = 0.03
OURS = "ours, packed"


class Outcome(NamedTuple):
    texts_s: float
    p50_ms: float
    p99_ms: float


def measure(texts: Sequence[str], arrivals: Path | None, device: str) -> None:
    encoder = load_encoder().to(torch.device(device))
    tokens = encoder.tokenize(texts)
    precision = "bf16" if device == "cuda" or multiplies_bf16() else "fp32"
    costs = measure_costs(
        {pads: build(encoder, ForwardPath(precision, not pads)) for pads in (True, False)}, tokens
    )
    for pads, cost in costs.items():
        print(
            f"\na batch {'with' if pads else 'without'} padding, {precision}: "
            f"{cost.pass_s * 1e3:.1f} ms + {cost.token_s * 1e6:.0f} us a token "
            f"+ {cost.text_s * 1e6:.0f} us a text"
        )
    for name, times in patterns(tokens, costs[True], arrivals).items():
        print(f"\n{name}: texts a second, p50 and p99 in ms; * where none is better in all")
        found = compare(times, tokens, costs)
        for policy, outcome in found.items():
            star = "*" if on_frontier(outcome, found.values()) else " "
            print(
                f" {star} {policy:40} {outcome.texts_s:8.1f} {outcome.p50_ms:9.0f} "
                f"{outcome.p99_ms:9.0f}"
            )


def patterns(
    tokens: Sequence[list[int]], padded: Cost, arrivals: Path | None = None
) -> dict[str, list[float]]:
    """Arrival times by name. Loads are shares of what padded batches without padding could do."""
    count = len(tokens)
    capacity = count / padded.seconds(sum(map(len, tokens)), count)
    found = {"all at once": [0.0] * count}
    for load in LOADS:
        found[f"random, load {load}"] = poisson(count, load * capacity)
        found[f"bursts, load {load}"] = bursts(count, load * capacity)
        if arrivals:
            found[f"{arrivals.name}, load {load}"] = recorded(arrivals, count, load * capacity)
    return found


def compare(
    times: Sequence[float], tokens: Sequence[list[int]], costs: Mapping[bool, Cost]
) -> dict[str, Outcome]:
    """Every policy over the same arrivals; costs by whether a batch is padded."""
    policies: dict[str, tuple[Policy, bool]] = {
        "fixed size 16": (FixedSize(16), True),
        "size 32 or 50 ms (Triton, TorchServe)": (FixedSize(32, 0.05), True),
        "padded budget, first in (TEI)": (TokenBudget(BUDGET, pads=True), True),
        "budget, first in, packed (TEI on a GPU)": (TokenBudget(BUDGET, pads=False), False),
        "sort what waits (infinity)": (SortAll(32), True),
        "adaptive (BentoML)": (Adaptive(32), True),
        "ours, padded": (Ours(BUDGET, pads=True), True),
        OURS: (Ours(BUDGET, pads=False), False),
    }
    return {
        name: simulate(policy, times, tokens, costs[pads], pads=pads)
        for name, (policy, pads) in policies.items()
    }


def measure_costs(pools: dict[bool, Pool], tokens: Sequence[list[int]]) -> dict[bool, Cost]:
    """The cost of batches by whether they pad: several sizes, each in its best of a few rounds."""
    draw = random.Random(2)
    by_length = sorted(tokens, key=len)
    batches: list[tuple[bool, list[list[int]]]] = []
    for size in SIZES:
        at = draw.randrange(len(tokens) - size)
        batches += [(True, by_length[at : at + size]), (False, list(tokens[at : at + size]))]
    best_s = [float("inf")] * len(batches)
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for place, (pads, batch) in enumerate(batches):
                began = time.perf_counter()
                pools[pads](batch).cpu()
                best_s[place] = min(best_s[place], time.perf_counter() - began)
    models = {pads: CostModel() for pads in pools}
    for (pads, batch), took_s in zip(batches, best_s, strict=True):
        lengths = list(map(len, batch))
        computed = len(batch) * max(lengths) if pads else sum(lengths)
        models[pads].observe(computed, len(batch), took_s)
    return {pads: model.cost for pads, model in models.items() if model.cost is not None}


def simulate(
    policy: Policy, times: Sequence[float], tokens: Sequence[list[int]], cost: Cost, *, pads: bool
) -> Outcome:
    """Run the policy over arrivals at those times (ascending seconds) until all are done."""
    waits: list[float] = []
    now = 0.0
    came = 0
    while len(waits) < len(times):
        while came < len(times) and times[came] <= now:
            policy.add(Job(came, "", times[came], times[came], came, tokens[came]))
            came += 1
        decision = policy.decide(now, ended=came == len(times))
        if not decision.batches:
            coming = times[came] if came < len(times) else float("inf")
            now = max(now, min(coming, decision.again_at))
            continue
        for batch in decision.batches:
            lengths = [len(job.tokens) for job in batch]
            computed = len(lengths) * max(lengths) if pads else sum(lengths)
            took = cost.seconds(computed, len(batch))
            now += took
            policy.ran(batch, computed, took)
            waits.extend(now - job.queued_at for job in batch)
    ordered = sorted(waits)
    return Outcome(
        len(times) / (now - times[0]),
        statistics.median(ordered) * 1e3,
        ordered[int(len(ordered) * (1 - TOLERANCE))] * 1e3,
    )


def poisson(count: int, rate: float) -> list[float]:
    draw = random.Random(3)
    now = 0.0
    times = []
    for _ in range(count):
        now += draw.expovariate(rate)
        times.append(now)
    return times


def bursts(count: int, rate: float) -> list[float]:
    """Half a second at three times the rate, then a second with nothing, on average."""
    draw = random.Random(4)
    times: list[float] = []
    now = 0.0
    while len(times) < count:
        end = now + draw.expovariate(2.0)
        while now < end and len(times) < count:
            now += draw.expovariate(3 * rate)
            times.append(now)
        now = end + draw.expovariate(1.0)
    return times


def recorded(path: Path, count: int, rate: float) -> list[float]:
    """The earliest times of a file of JSON lines, in order, stretched to that rate on average."""
    lines = path.read_bytes().splitlines()
    stamps = (datetime.fromisoformat(orjson.loads(line)["time"]).timestamp() for line in lines)
    times = nsmallest(count, stamps)
    stretch = count / rate / (times[-1] - times[0])
    return [(stamp - times[0]) * stretch for stamp in times]


def on_frontier(one: Outcome, all_of: Iterable[Outcome]) -> bool:
    """No other is as good in all three, within TOLERANCE, and better in one by more."""
    return not any(
        other.texts_s >= one.texts_s * (1 - TOLERANCE)
        and other.p50_ms <= one.p50_ms * (1 + TOLERANCE)
        and other.p99_ms <= one.p99_ms * (1 + TOLERANCE)
        and (
            other.texts_s > one.texts_s * (1 + TOLERANCE)
            or other.p50_ms < one.p50_ms * (1 - TOLERANCE)
            or other.p99_ms < one.p99_ms * (1 - TOLERANCE)
        )
        for other in all_of
    )
