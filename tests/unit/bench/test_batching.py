"""The simulation runs every text once under every policy, and ours stays on the frontier."""

from __future__ import annotations

import random

import pytest

from bench.batching import OURS, Outcome, compare, on_frontier, patterns, recorded, simulate
from bench.policies import Adaptive, FixedSize, Job, Ours, SortAll, TokenBudget
from models.cost import Cost

# As measured for MiniLM on two cores in fp32 (docs/performance.md), with padding and without.
COSTS = {True: Cost(0.004, 2.1e-4, 5e-5), False: Cost(0.003, 1.9e-4, 5e-5)}


def texts(count: int) -> list[list[int]]:
    """Lengths like those of news, posts and tickets: most are short, a few are cut at 128."""
    draw = random.Random(5)
    return [[0] * min(128, 6 + int(draw.expovariate(1 / 25))) for _ in range(count)]


@pytest.mark.parametrize("pads", [True, False])
@pytest.mark.parametrize(
    "policy",
    [
        FixedSize(16),
        FixedSize(32, 0.05),
        TokenBudget(256, pads=True),
        TokenBudget(256, pads=False),
        SortAll(8),
        Adaptive(32),
        Ours(256, pads=True),
        Ours(256, pads=False),
    ],
    ids=lambda policy: type(policy).__name__ if not isinstance(policy, bool) else None,
)
def test_every_text_is_run_once(policy, pads, monkeypatch):
    seen: list[int] = []
    ran = policy.ran

    def count(batch: list[Job], computed: int, seconds: float) -> None:
        seen.extend(job.item for job in batch)
        ran(batch, computed, seconds)

    monkeypatch.setattr(policy, "ran", count)
    times = [0.0] * 20 + [0.5 + 0.01 * place for place in range(100)]
    outcome = simulate(policy, times, texts(120), COSTS[pads], pads=pads)
    assert sorted(seen) == list(range(120))
    assert outcome.p50_ms <= outcome.p99_ms


@pytest.mark.parametrize("pattern", list(patterns(texts(10), COSTS[True])))
def test_ours_is_on_the_frontier(pattern):
    tokens = texts(800)
    found = compare(patterns(tokens, COSTS[True])[pattern], tokens, COSTS)
    assert on_frontier(found[OURS], found.values())


def test_a_worse_outcome_is_off_the_frontier():
    good, slow, late = Outcome(100, 10, 50), Outcome(90, 10, 50), Outcome(100, 10, 80)
    assert on_frontier(good, [good, slow, late])
    assert not on_frontier(slow, [good, slow, late])
    assert not on_frontier(late, [good, slow, late])


def test_recorded_times_are_stretched_to_the_rate(tmp_path):
    file = tmp_path / "times.jsonl"
    file.write_text("".join(f'{{"time": "2026-01-0{day}T00:00:00Z"}}\n' for day in (3, 1, 2, 5)))
    assert recorded(file, 3, rate=1.0) == [0.0, 1.5, 3.0]
