"""How far the labels have come since the last fits, in the terms of the schedule."""

from __future__ import annotations

from datetime import datetime

from trainer.labels.attempts import Attempts
from trainer.labels.settlement import Settled
from trainer.promotion.drift import Drift
from trainer.schedule import Progress, Schedule, next_deep


def progress_of(
    settled: Settled,
    attempts: Attempts,
    drift: Drift,
    schedule: Schedule,
    *,
    quiet_s: float,
    now: datetime,
) -> Progress:
    """quiet_s: since the labels changed last."""
    tried, tried_labels = attempts.last()
    labels = len(settled.labels)
    new = 0 if tried == settled.fingerprint else max(1, labels - tried_labels)
    deep_at = next_deep(schedule, attempts.deep_or_first_at(), now)
    return Progress(
        new if labels else 0,
        quiet_s,
        max(0, labels - attempts.labels_of_last_deep()),
        drift="; ".join(map(str, drift.untried)),
        deep_at=f"{deep_at:%Y-%m-%d %H:%M} UTC" if deep_at else "",
        overdue=deep_at is not None and deep_at <= now,
    )
