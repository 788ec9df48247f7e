"""An event that people are asked to label."""

from __future__ import annotations

from typing import NamedTuple


class Question(NamedTuple):
    """An event that people should label for a head, and why (see trainer.labels.active_learning).

    label and confidence (0..1) are the model's own answer.
    """

    head: str
    event_id: str
    source: str
    text: str
    label: str
    confidence: float
    why: str
