"""What comes out of the batcher: a result for every text, and counts."""

from __future__ import annotations

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

    cost is None until it is learnt.
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
