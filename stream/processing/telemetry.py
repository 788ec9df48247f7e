"""Counters of a worker, read by its metrics, the demo's live view and its summary."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from stream.processing.judge import Shipment
from stream.processing.tickets import REVIEW
from stream.records import Alert

RECENT = 20_000
# Powers of two from 8 ms to about 17 minutes: from a quiet stream to one that catches up.
LATENCY_BOUNDS_S = tuple(0.008 * 2**power for power in range(18))


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from a record's Kafka timestamp to the confirmation of all its outputs."""

    p50: float | None
    p99: float | None


class Telemetry:
    """Counters of one worker. Written by the event loop only."""

    def __init__(self) -> None:
        self.scored = 0
        self.copies = 0
        self.dead_letters: Counter[str] = Counter()
        self.alerts: Counter[str] = Counter()
        self.alerts_by_source: Counter[str] = Counter()
        self.transitions = 0
        # Events by rule on which it failed, and on which it took longer than it may.
        self.rule_errors: Counter[str] = Counter()
        self.slow_rules: Counter[str] = Counter()
        self.by_source: Counter[str] = Counter()
        self.transitions_by: Counter[tuple[str, str]] = Counter()
        self.queues: Counter[str] = Counter()
        # Answers by version in shadow, head and whether it agrees with the champion: yes or no.
        self.shadow: Counter[tuple[str, str, str]] = Counter()
        self.in_flight = 0
        self.first_shipped = 0.0
        self.last_shipped = 0.0
        self.latest_alerts: deque[Alert] = deque(maxlen=50)
        self.latencies_ms: deque[float] = deque(maxlen=RECENT)
        """The latest, one a record; see Latency."""
        # One more than there are bounds: the last is for what is beyond them.
        self.latency_counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.latency_sum_s = 0.0

    @property
    def settled(self) -> int:
        """Records whose every output is confirmed: scored ones and dead letters."""
        return self.scored + self.dead_letters.total()

    @property
    def reviewed(self) -> int:
        return self.queues[REVIEW]

    @property
    def routed(self) -> int:
        """Tickets on a queue of their own, review left out."""
        return self.queues.total() - self.reviewed

    @property
    def events_per_second(self) -> float:
        elapsed_s = self.last_shipped - self.first_shipped
        return self.settled / elapsed_s if elapsed_s > 0 else 0.0

    def shipped(self, shipment: Shipment, alerts: Sequence[Alert | None]) -> None:
        """Count a shipment that Kafka and Redis have confirmed, with the answer to each match."""
        now = time.monotonic()
        self.first_shipped = self.first_shipped or now
        self.last_shipped = now
        self.scored += len(shipment.record_times_ms)
        self.copies += sum(1 for scored in shipment.scored if scored.copy_of)
        self.dead_letters += shipment.dead_letters
        self.queues += shipment.queues
        self.by_source.update(scored.source for scored in shipment.scored)
        for (scored, match), alert in zip(shipment.matches, alerts, strict=True):
            if alert is None:
                continue
            self.transitions += 1
            self.latest_alerts.append(alert)
            self.transitions_by[alert.rule, alert.state] += 1
            if alert.state == "firing":
                self.alerts[match.rule.name] += 1
                self.alerts_by_source[scored.source] += 1
        self.in_flight -= shipment.settled.total()
        wall_ms = time.time() * 1000
        for sent_ms in shipment.record_times_ms:
            if sent_ms < 0:  # a record without a timestamp
                continue
            # Clocks of two machines differ; a record can't have been sent after it was finished.
            latency_s = max(0.0, wall_ms - sent_ms) / 1000
            self.latencies_ms.append(latency_s * 1000)
            self.latency_counts[bisect_left(LATENCY_BOUNDS_S, latency_s)] += 1
            self.latency_sum_s += latency_s

    def latency(self) -> Latency:
        ordered = sorted(self.latencies_ms)
        if not ordered:
            return Latency(None, None)
        last = len(ordered) - 1
        return Latency(
            p50=round(ordered[int(last * 0.5)], 1), p99=round(ordered[int(last * 0.99)], 1)
        )
