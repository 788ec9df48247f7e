"""What comes out of the batcher: a result for every text, and counts."""

from __future__ import annotations

import threading
import time
from typing import Generic, TypeVar

import msgspec

from models.cost import Cost
from models.spec import BatchInfo, Scores

T = TypeVar("T")


class Result(msgspec.Struct, Generic[T], frozen=True):
    """One text's outcome: scores, or the error that is this text's own fault."""

    item: T
    scores: Scores | None
    error: str
    model: str
    batch: BatchInfo


class Statistics(msgspec.Struct, frozen=True):
    """Totals since the start, and what waits now. tokens are real, padded_tokens computed.

    busy_s: seconds in which any batch was under way. cost is None until it is learnt.
    """

    texts: int
    failed: int
    batches: int
    tokens: int
    padded_tokens: int
    halved: int
    busy_s: float
    waiting: int
    cost: Cost | None = None


class Tally:
    """Counts for Statistics, from whichever threads run batches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts = self._failed = self._batches = self._halved = 0
        self._tokens = self._padded_tokens = 0
        self._under_way = 0
        self._counted_to = self._shared_s = 0.0
        self.busy_s = 0.0

    def begin(self) -> tuple[float, float]:
        """A batch goes to the model: the time (time.monotonic), and what end() asks for."""
        with self._lock:
            return self._advance(1), self._shared_s

    def end(self, since: float) -> float:
        """It is back, scored or not: the seconds of the device that it had.

        Batches that are under way at a time have equal shares. So a small batch, which is often
        alone, and a full one, which seldom is, can be compared.
        """
        with self._lock:
            self._advance(-1)
            return self._shared_s - since

    def _advance(self, change: int) -> float:
        """One batch more or less under way from now on; returns the time."""
        now = time.monotonic()
        if self._under_way:
            passed = now - self._counted_to
            self.busy_s += passed
            self._shared_s += passed / self._under_way
        self._counted_to = now
        self._under_way += change
        return now

    def scored(self, texts: int, tokens: int, padded_tokens: int) -> None:
        """A batch came out well."""
        with self._lock:
            self._texts += texts
            self._batches += 1
            self._tokens += tokens
            self._padded_tokens += padded_tokens

    def failed(self) -> None:
        """A text was given up."""
        with self._lock:
            self._failed += 1

    def halved(self) -> None:
        """A batch failed and its halves are tried."""
        with self._lock:
            self._halved += 1

    def statistics(self, *, waiting: int, cost: Cost | None) -> Statistics:
        with self._lock:
            return Statistics(
                texts=self._texts,
                failed=self._failed,
                batches=self._batches,
                tokens=self._tokens,
                padded_tokens=self._padded_tokens,
                halved=self._halved,
                busy_s=self.busy_s,
                waiting=waiting,
                cost=cost,
            )
