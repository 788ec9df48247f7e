"""What the trainer service is told: where it reads and writes, and when it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream.names import Topics
from trainer.promotion.gate import Limits
from trainer.promotion.probation import Probation
from trainer.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """One trainer's.

    kafka holds the arguments that every client of aiokafka takes to reach the brokers.
    parent is the first champion of an empty registry, the shipped checkpoint if None. folder holds
    the label log; remember_events is how many events' texts it keeps for labels to come; deep fits
    write below tensorboard, if that is set.
    """

    kafka: Mapping[str, Any]
    topics: Topics
    folder: Path
    parent: Path | None = None
    remember_events: int = 1_000_000
    schedule: Schedule
    limits: Limits
    probation: Probation
    drift_above: float
    tensorboard: Path | None = None
