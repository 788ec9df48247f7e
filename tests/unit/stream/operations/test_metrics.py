"""The metrics page: what Prometheus reads is what was counted."""

from __future__ import annotations

import logging
import time
from collections import Counter

from prometheus_client.parser import text_string_to_metric_families

from models.results import Statistics
from stream.notify.delivery import DeliveryCounts
from stream.operations.metrics import Labels, Reading, exposition, worker_families
from stream.operations.trainer_monitor import TrainerMonitor
from stream.processing.judge import Shipment
from stream.processing.telemetry import Telemetry
from stream.runtime.backoff import Backoff
from tests.fakes import scored
from trainer.status import Status

BATCHES = Statistics(
    texts=10, failed=1, batches=3, tokens=80, padded_tokens=100, halved=1, busy_s=0.5, waiting=4
)


def samples(page: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def deliveries() -> DeliveryCounts:
    tally = DeliveryCounts()
    tally.try_again("pager", "503")
    tally.try_again("mail", "timeout")
    tally.end("mail", "")
    tally.end("desk", "404")
    return tally


def page(telemetry: Telemetry, *, batches: Statistics | None = BATCHES) -> bytes:
    reading = Reading(
        labels=Labels(["news", "ticket"], ["bad-rule", "good-rule"], ["fraud"], ["desk", "hook"]),
        telemetry=telemetry,
        batches=batches,
        lags={("news", 0): 7, ("news", 1): 0},
        assigned=2,
        model='m"1\n',
        swaps=1,
        refused=True,
        stalled=False,
        deliveries=deliveries(),
    )
    return exposition(worker_families(reading))


def test_every_count_is_on_the_page() -> None:
    telemetry = Telemetry()
    telemetry.rule_errors = Counter({"bad-rule": 2})
    telemetry.slow_rules = Counter({"slow-rule": 3})
    now_ms = round(time.time() * 1000)
    telemetry.shipped(
        Shipment(
            dead_letters=Counter(not_json=2),
            queues=Counter(fraud=1),
            scored=[scored()] * 3,
            # One in time, one of a clock that runs ahead, one of an age ago, one of no time.
            record_times_ms=[now_ms, now_ms + 5_000, 0, -1],
        ),
        [],
    )
    found = samples(page(telemetry))
    assert found["bellwether_events_total", (("source", "news"),)] == 3
    assert found["bellwether_dead_letters_total", (("reason", "not_json"),)] == 2
    assert found["bellwether_tickets_total", (("queue", "fraud"),)] == 1
    assert found["bellwether_rule_errors_total", (("rule", "bad-rule"),)] == 2
    assert found["bellwether_slow_rules_total", (("rule", "slow-rule"),)] == 3
    assert found["bellwether_lag_records", (("partition", "0"), ("topic", "news"))] == 7
    assert found["bellwether_notifications_total", (("receiver", "mail"),)] == 1
    assert found["bellwether_notifications_failed_total", (("receiver", "desk"),)] == 1
    assert found["bellwether_notifications_retries_total", (("receiver", "pager"),)] == 1
    in_trouble = {labels for name, labels in found if name == "bellwether_receiver_trouble_seconds"}
    assert in_trouble == {(("receiver", "pager"),), (("receiver", "desk"),)}
    assert found["bellwether_model_info", (("version", 'm"1\n'),)] == 1
    assert found["bellwether_champion_refused", ()] == 1
    assert found["bellwether_batch_tokens_total", ()] == 80
    assert found["bellwether_batch_padded_tokens_total", ()] == 100
    assert found["bellwether_texts_waiting", ()] == 4
    assert found["bellwether_latency_seconds_count", ()] == 3
    assert found["bellwether_latency_seconds_bucket", (("le", "+Inf"),)] == 3
    assert found["bellwether_latency_seconds_bucket", (("le", "1048.576"),)] == 2
    assert found["bellwether_latency_seconds_bucket", (("le", "2.048"),)] == 2
    assert found["process_open_fds", ()] > 0


def test_what_may_be_counted_is_there_before_its_first_rise() -> None:
    """Else rate() and increase() miss it: a pager's first failure, say, or a rule's first error."""
    telemetry = Telemetry()
    telemetry.rule_errors = Counter({"bad-rule": 2})
    found = samples(page(telemetry))
    assert found["bellwether_events_total", (("source", "ticket"),)] == 0
    assert found["bellwether_tickets_total", (("queue", "fraud"),)] == 0
    assert found["bellwether_dead_letters_total", (("reason", "bad_time"),)] == 0
    assert ("bellwether_dead_letters_total", (("reason", "unknown_head"),)) not in found
    errors = "bellwether_rule_errors_total"
    assert found[errors, (("rule", "bad-rule"),)] == 2
    assert found[errors, (("rule", "good-rule"),)] == 0
    assert found["bellwether_slow_rules_total", (("rule", "good-rule"),)] == 0
    firing = (("rule", "good-rule"), ("state", "firing"))
    assert found["bellwether_alert_transitions_total", firing] == 0
    failed = "bellwether_notifications_failed_total"
    assert found[failed, (("receiver", "desk"),)] == 1
    assert found[failed, (("receiver", "hook"),)] == 0


def test_a_part_that_may_be_waited_for_is_there_before_the_first_wait() -> None:
    Backoff("the page's part is away", logging.getLogger(__name__))
    found = samples(page(Telemetry()))
    trouble = (("trouble", "the page's part is away"),)
    assert found["bellwether_retries_total", trouble] == 0


def test_a_worker_that_has_not_started_has_a_page_too() -> None:
    found = samples(page(Telemetry(), batches=None))
    assert ("bellwether_batches_total", ()) not in found
    assert found["bellwether_latency_seconds_count", ()] == 0


async def test_the_trainer_says_what_it_waits_for_and_what_it_has_done() -> None:
    status = Status()
    monitor = TrainerMonitor(status, stall_s=60)
    assert monitor.health().ok
    assert not (await monitor.ready()).ok
    status.polled_at = time.monotonic()
    status.champion, status.labels, status.waits_for = "m-1", 12, "waits for labels"
    status.attempts["fast", "promoted"] += 1
    assert (await monitor.ready()).ok
    assert monitor.health().details == {"trainer": "waits for labels", "champion": "m-1"}
    status.not_done = "deep fit not done: killed"
    assert monitor.health().details["last fit"] == "deep fit not done: killed"
    found = samples(monitor.metrics())
    assert found["bellwether_trainer_labels", ()] == 12
    attempts = "bellwether_trainer_attempts_total"
    assert found[attempts, (("speed", "fast"), ("verdict", "promoted"))] == 1
    status.fitting, status.fitting_since, status.progress = "deep", time.monotonic(), "epoch 2"
    assert "deep fit for 0 s, epoch 2" in monitor.health().details["trainer"]
    status.polled_at = time.monotonic() - 61
    assert "restart the trainer" in monitor.health().details["trainer"]
    assert not monitor.health().ok
