"""Batching policies of others and ours, as functions of what waits. Pure; a simulation calls them.

Each is written from the documentation of its project, as a short reading of how it picks a batch;
none is that project's code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from models.batcher import TARGET_S, WINDOW_BATCHES
from models.cost import CostModel
from models.encoder import MAX_TOKENS
from models.window import Arrivals, Waiting, Window

Job = Waiting[int]


class Decision(NamedTuple):
    """Batches to run one after the other, or, where there are none, when to look again."""

    batches: list[list[Job]]
    again_at: float = float("inf")


class Policy(Protocol):
    """Sees every job once, and is asked whenever the device is free and something has changed."""

    def add(self, job: Job) -> None: ...

    def decide(self, now: float, *, ended: bool) -> Decision:
        """ended: no more jobs will come, so waiting for some is pointless."""
        ...

    def ran(self, batch: Sequence[Job], computed: int, seconds: float) -> None:
        """A batch took so long for that many tokens, padding included."""
        ...


class _FirstIn:
    def __init__(self) -> None:
        self.queue: list[Job] = []

    def add(self, job: Job) -> None:
        self.queue.append(job)

    def ran(self, batch: Sequence[Job], computed: int, seconds: float) -> None:
        """Learns nothing."""

    def _pop(self, count: int) -> list[Job]:
        taken, self.queue = self.queue[:count], self.queue[count:]
        return taken


class FixedSize(_FirstIn):
    """size texts, first in first out, however long that takes to come together; or, with delay_s,
    fewer once the first has waited so long: Triton's dynamic batcher, TorchServe's batch delay.
    """

    def __init__(self, size: int, delay_s: float = float("inf")) -> None:
        super().__init__()
        self._size = size
        self._delay_s = delay_s

    def decide(self, now: float, *, ended: bool) -> Decision:
        if not self.queue:
            return Decision([])
        due = self.queue[0].queued_at + self._delay_s
        if len(self.queue) >= self._size or now >= due or ended:
            return Decision([self._pop(self._size)])
        return Decision([], due)


class TokenBudget(_FirstIn):
    """First in first out until a budget of tokens is full, padded ones where the model pads, at
    once when the device is free: the queue of text-embeddings-inference.
    """

    def __init__(self, budget: int, *, pads: bool, most: int = 512) -> None:
        super().__init__()
        self._budget = budget
        self._pads = pads
        self._most = most

    def decide(self, now: float, *, ended: bool) -> Decision:
        del now, ended
        count = longest = tokens = 0
        for job in self.queue[: self._most]:
            longest = max(longest, len(job.tokens))
            tokens += len(job.tokens)
            if count and (longest * (count + 1) if self._pads else tokens) > self._budget:
                break
            count += 1
        return Decision([self._pop(count)] if count else [])


class SortAll(_FirstIn):
    """A few batches' worth of the oldest texts, sorted by length and cut into batches of size, at
    once when the device is free: infinity.
    """

    def __init__(self, size: int, batches: int = 4) -> None:
        super().__init__()
        self._size = size
        self._batches = batches

    def decide(self, now: float, *, ended: bool) -> Decision:
        del now, ended
        taken = sorted(self._pop(self._size * self._batches), key=lambda job: len(job.tokens))
        return Decision([taken[at : at + self._size] for at in range(0, len(taken), self._size)])


class Adaptive(_FirstIn):
    """Waits while one more text would cost those that wait less than a pass of its own: BentoML's
    adaptive batching, which learns seconds = a + b x texts.
    """

    def __init__(self, most: int, tick_s: float = 0.001) -> None:
        super().__init__()
        self._most = most
        self._tick_s = tick_s
        self._seen = [(1, 0.01), (2, 0.012)]
        self._gap_s = 0.01

    def add(self, job: Job) -> None:
        if self.queue:
            gap = job.queued_at - self.queue[-1].queued_at
            self._gap_s += (gap - self._gap_s) / 20
        super().add(job)

    def decide(self, now: float, *, ended: bool) -> Decision:
        count = len(self.queue)
        if not count:
            return Decision([])
        # All that wait would wait a gap longer; the next text would save the fixed cost of a pass.
        if count >= self._most or ended or count * self._gap_s > self._fixed_s():
            return Decision([self._pop(self._most)])
        give_up = self.queue[-1].queued_at + self._fixed_s()
        if now >= give_up:
            return Decision([self._pop(self._most)])
        return Decision([], min(give_up, now + self._tick_s))

    def ran(self, batch: Sequence[Job], computed: int, seconds: float) -> None:
        del computed
        self._seen = [*self._seen[-50:], (len(batch), seconds)]

    def _fixed_s(self) -> float:
        mean_n = sum(n for n, _ in self._seen) / len(self._seen)
        mean_s = sum(s for _, s in self._seen) / len(self._seen)
        spread = sum((n - mean_n) ** 2 for n, _ in self._seen)
        slope = sum((n - mean_n) * (s - mean_s) for n, s in self._seen) / spread if spread else 0.0
        return max(0.0, mean_s - slope * mean_n)


class Ours:
    """The batcher's own queue, window and cost model."""

    def __init__(self, max_batch_tokens: int, *, pads: bool) -> None:
        self._most = max_batch_tokens
        self._pads = pads
        self._arrivals: Arrivals[int] = Arrivals()
        self._window: Window[int] = Window()
        self._costs = CostModel()

    def add(self, job: Job) -> None:
        self._arrivals.add(job)

    def decide(self, now: float, *, ended: bool) -> Decision:
        del now, ended
        room = WINDOW_BATCHES * self._most - self._window.tokens
        for job in self._arrivals.take(room, MAX_TOKENS):
            self._window.add(job)
        limit, _ = self._costs.limit(self._most, TARGET_S)
        batch, _ = self._window.take(limit, pads=self._pads)
        return Decision([batch] if batch else [])

    def ran(self, batch: Sequence[Job], computed: int, seconds: float) -> None:
        self._costs.observe(computed, len(batch), seconds)
