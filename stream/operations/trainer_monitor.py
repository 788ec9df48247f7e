"""Health, readiness and metrics of the trainer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from stream.operations.health_server import Report
from stream.operations.metrics import counted, exposition, info


class TrainerStatus(Protocol):
    """What is read of trainer.status.Status."""

    champion: str
    challenger: str
    shadow: dict[str, tuple[int, int]]
    labels: int
    disputed: int
    unknown: int
    refused: int
    drift: dict[tuple[str, str, str], float]
    waits_for: str
    attempts: Counter[tuple[str, str]]
    not_done: str
    fitting: str
    fitting_since: float
    progress: str
    polled_at: float


class TrainerMonitor:
    """stream.operations.health_server.Endpoints of a trainer, from before its start on."""

    def __init__(self, status: TrainerStatus, *, stall_s: float) -> None:
        """stall_s: how long the trainer may not look at its topics before it counts as stuck."""
        self._status = status
        self._stall_s = stall_s

    def health(self) -> Report:
        silent_s = self._silent_s()
        if silent_s > self._stall_s:
            words = f"has not looked at its topics for {silent_s:.0f} s; restart the trainer"
            return Report(ok=False, details={"trainer": words})
        return Report(ok=True, details=self._doing())

    async def ready(self) -> Report:
        started = bool(self._status.polled_at)
        details = self._doing() if started else {"trainer": "starting"}
        return Report(ok=started and self._silent_s() <= self._stall_s, details=details)

    def metrics(self) -> bytes:
        return exposition(_families(self._status))

    def _silent_s(self) -> float:
        polled_at = self._status.polled_at
        return time.monotonic() - polled_at if polled_at else 0.0

    def _doing(self) -> dict[str, str]:
        status = self._status
        doing = status.waits_for or "starting"
        if status.fitting:
            doing = f"{status.fitting} fit for {time.monotonic() - status.fitting_since:.0f} s"
            if status.progress:
                doing += f", {status.progress}"
        found = {"trainer": doing, "champion": status.champion}
        further = {"challenger": status.challenger, "last fit": status.not_done}
        return found | {name: said for name, said in further.items() if said}


def _families(status: TrainerStatus) -> Iterator[Metric]:
    for name, words, value in (
        ("labels", "Labels that people agree on.", status.labels),
        ("labels_disputed", "Event and head on which people disagree.", status.disputed),
        ("labels_unknown", "Labels of events that nobody has seen.", status.unknown),
        ("fitting", "1 while a fit is under way.", int(bool(status.fitting))),
    ):
        yield GaugeMetricFamily(f"bellwether_trainer_{name}", words, value)
    yield counted(
        "bellwether_trainer_attempts",
        "Fits by their verdict.",
        ("speed", "verdict"),
        status.attempts,
    )
    answers = GaugeMetricFamily(
        "bellwether_trainer_shadow_answers",
        "Answers of the version in shadow, by whether the champion says the same.",
        labels=("head", "agrees"),
    )
    for head, (said, differ) in status.shadow.items():
        answers.add_metric((head, "yes"), said - differ)
        answers.add_metric((head, "no"), differ)
    yield answers
    drift = GaugeMetricFamily(
        "bellwether_trainer_drift",
        "Population stability index of the last 1,000 answers against the champion's first.",
        labels=("head", "source", "of"),
    )
    for place, index in status.drift.items():
        drift.add_metric(place, index)
    yield drift
    yield CounterMetricFamily(
        "bellwether_trainer_refused_feedback", "Feedback refused.", status.refused
    )
    yield info("bellwether_trainer_champion", "The champion.", version=status.champion)
