"""What a worker counts, in Prometheus' terms; read when asked, so that no event pays for it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from models.results import Statistics
from stream.ingest.dead_letter import RecordReason
from stream.notify.delivery import DeliveryCounts
from stream.processing.telemetry import LATENCY_BOUNDS_S, Telemetry
from stream.runtime import backoff


class Labels(NamedTuple):
    """What may be counted: each series begins at 0, as Prometheus sees no rise of one that was
    not there before.
    """

    sources: Collection[str]
    rules: Collection[str]
    queues: Collection[str]
    receivers: Collection[str]


class Reading(NamedTuple):
    """What a worker shows at one moment; batches is None before it has started."""

    labels: Labels
    telemetry: Telemetry
    batches: Statistics | None
    lags: Mapping[tuple[str, int], int]
    assigned: int
    model: str
    swaps: int
    refused: bool
    stalled: bool
    deliveries: DeliveryCounts


def exposition(families: Iterable[Metric]) -> bytes:
    """Families and those of the process itself, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Given(list(families)))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


class _Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def worker_families(reading: Reading) -> Iterator[Metric]:
    labels, telemetry = reading.labels, reading.telemetry
    yield counted(
        "bellwether_events",
        "Events scored, outputs confirmed.",
        ("source",),
        telemetry.by_source,
        labels.sources,
    )
    yield counted(
        "bellwether_dead_letters",
        "Records refused.",
        ("reason",),
        telemetry.dead_letters,
        get_args(RecordReason),
    )
    yield counted(
        "bellwether_alert_transitions",
        "Transitions of alerts that events caused.",
        ("rule", "state"),
        telemetry.transitions_by,
        [(rule, "firing") for rule in labels.rules],
    )
    yield counted(
        "bellwether_tickets", "Tickets routed.", ("queue",), telemetry.queues, labels.queues
    )
    yield counted(
        "bellwether_rule_errors",
        "Rules that erred on an event and did not match.",
        ("rule",),
        telemetry.rule_errors,
        labels.rules,
    )
    yield counted(
        "bellwether_slow_rules",
        "Rules that took longer on an event than alerting.slow_rule_ms.",
        ("rule",),
        telemetry.slow_rules,
        labels.rules,
    )
    yield counted(
        "bellwether_retries", "Waits for a part that was away.", ("trouble",), backoff.retries
    )
    yield _latency(telemetry)
    yield GaugeMetricFamily(
        "bellwether_records_in_work", "Records taken in and not confirmed.", telemetry.in_flight
    )
    lag = GaugeMetricFamily(
        "bellwether_lag_records",
        "Records after the committed offset.",
        labels=("topic", "partition"),
    )
    for (topic, partition), records in reading.lags.items():
        lag.add_metric((topic, str(partition)), records)
    yield lag
    yield GaugeMetricFamily(
        "bellwether_assigned_partitions", "Partitions this worker reads.", reading.assigned
    )
    yield GaugeMetricFamily(
        "bellwether_stalled", "1 while records wait and none is finished.", int(reading.stalled)
    )
    yield info("bellwether_model", "The model that scores.", version=reading.model)
    yield counted(
        "bellwether_shadow_answers",
        "Answers of a challenger in shadow, by whether the champion says the same.",
        ("version", "head", "agrees"),
        telemetry.shadow,
    )
    yield CounterMetricFamily(
        "bellwether_model_swaps", "Models taken over while running.", reading.swaps
    )
    yield GaugeMetricFamily(
        "bellwether_champion_refused",
        "1 while the registry names a champion that can't be served.",
        int(reading.refused),
    )
    yield from _notifications(reading.deliveries, labels.receivers)
    if reading.batches:
        yield from _batches(reading.batches)


def _notifications(tally: DeliveryCounts, receivers: Collection[str]) -> Iterator[Metric]:
    """Of the one worker that tells the receivers; of the others nothing but zeros."""
    for name, words, counts in (
        ("", "Notifications that a receiver took.", tally.sent),
        ("_failed", "Notifications given up.", tally.failed),
        ("_retries", "Tries in vain, tried again.", tally.retries),
    ):
        yield counted(f"bellwether_notifications{name}", words, ("receiver",), counts, receivers)
    trouble = GaugeMetricFamily(
        "bellwether_receiver_trouble_seconds",
        "How long a receiver has not taken what it is sent; absent while it does.",
        labels=("receiver",),
    )
    for receiver, found in dict(tally.troubles).items():
        trouble.add_metric((receiver,), time.monotonic() - found.since)
    yield trouble


def _batches(batches: Statistics) -> Iterator[Metric]:
    for name, words, value in (
        ("batches", "Micro-batches run.", batches.batches),
        ("batch_texts", "Texts in them.", batches.texts),
        ("batch_tokens", "Tokens in them, padding left out.", batches.tokens),
        ("batch_padded_tokens", "Tokens computed.", batches.padded_tokens),
        ("batches_halved", "Batches that failed and were halved.", batches.halved),
        ("texts_failed", "Texts the model could not score.", batches.failed),
        ("model_busy_seconds", "Time in forward passes.", batches.busy_s),
    ):
        yield CounterMetricFamily(f"bellwether_{name}", words, value)
    yield GaugeMetricFamily(
        "bellwether_texts_waiting", "Texts queued in front of the model.", batches.waiting
    )


def _latency(telemetry: Telemetry) -> Metric:
    running, buckets = 0, []
    for bound, count in zip((*LATENCY_BOUNDS_S, "+Inf"), telemetry.latency_counts, strict=True):
        running += count
        buckets.append((str(bound), float(running)))
    return HistogramMetricFamily(
        "bellwether_latency_seconds",
        "From a record's Kafka timestamp to the confirmation of all its outputs.",
        buckets=buckets,
        sum_value=telemetry.latency_sum_s,
    )


def counted(
    name: str,
    words: str,
    labels: tuple[str, ...],
    counts: Mapping[Any, int],
    known: Collection[Any] = (),
) -> Metric:
    """A counter with a value for each label, or for each tuple of labels; 0 for the known ones."""
    family = CounterMetricFamily(name, words, labels=labels)
    for key, count in (dict.fromkeys(known, 0) | dict(counts)).items():
        family.add_metric((key,) if isinstance(key, str) else key, count)
    return family


def info(name: str, words: str, **labels: str) -> Metric:
    """A gauge of 1 that carries its labels: what is neither counted nor measured."""
    family = GaugeMetricFamily(f"{name}_info", words, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), 1)
    return family
