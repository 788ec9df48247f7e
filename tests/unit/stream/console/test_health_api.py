"""Health over HTTP: what is away, the flow in parts, workers by their ledger, drift."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from models.spec import BatchInfo
from stream.config.settings import Settings
from stream.console.health_api import flow_of, workers_of
from stream.console.lag import Lag
from stream.console.recent import KEPT_SCORED, Seen, rate
from stream.console.services import Services
from stream.notify.delivery import Trouble
from stream.notify.redis_journal import RedisJournal
from stream.operations.ledger import GONE_AFTER_S, Entry, Sign
from tests.fakes import NOON, scored
from tests.unit.stream.console.conftest import Caller, fire, put


def entry(worker: str, number: int, *, seconds: float, model: str = "m-1") -> Entry:
    return Entry(
        worker=worker,
        number=number,
        at=NOON + timedelta(seconds=seconds),
        cause="start" if number == 1 else "model",
        model=model,
        rules="r-1",
        rules_from="rules.toml",
        runs_on=f"{model} on cuda:0",
    )


async def test_health_says_what_is_away(page: Caller, services: Services) -> None:
    await fire(services)
    journal = RedisJournal(services.redis, services.keys, services.settings.alerting)
    await journal.name_receivers(["mail", "pager"])
    await journal.count("mail", error="")
    await journal.count("pager", error="answered 404")
    await journal.note_troubles({"pager": Trouble("answered 503", time.monotonic() - 60)})
    put(services, services.settings.topics.scored, scored())
    services.recent.fault = "no broker"
    answer = await page.get("/health")
    assert answer["faults"] == {"redis": "", "kafka": "no broker"}
    assert (answer["open_alerts"], answer["lag"]) == (1, [])
    assert answer["flow"]["models"] == {"m-1": 1}
    mail, pager = answer["receivers"]
    assert (mail["name"], mail["sent"], mail["trouble"]) == ("mail", 1, "")
    assert (pager["failed"], pager["error"], pager["trouble"]) == (
        1,
        "answered 404",
        "answered 503",
    )
    assert pager["trouble_since"] < pager["failed_at"]
    assert answer["flow"]["latency_p50_ms"] == 0
    assert answer["trainer"]["verdict"] == "promoted: better"
    moved = [(one["head"], one["labels"], one["missing"]) for one in answer["trainer"]["drift"]]
    assert moved == [("topic", 0.31, 0), ("risk", None, 1_700)]


def test_the_way_of_an_event_has_parts_and_padding_is_a_share() -> None:
    begun = NOON.timestamp() * 1e3
    events = [
        scored(
            scored_at=NOON + timedelta(milliseconds=waited + 30),
            batch=BatchInfo(2, 30, waited, "idle", padding=10),
        )
        for waited in (10.0, 20.0, 40.0)
    ]
    seen = [Seen(round(begun + event.batch.waited_ms + 35), event) for event in events]
    flow = flow_of(seen, NOON)
    assert {name: round(ms) for name, ms in flow.parts.items()} == {
        "waiting": 20,
        "scoring": 30,
        "judging": 5,
    }
    assert flow.padding == 0.25
    nothing = flow_of([], NOON)
    assert (nothing.parts, nothing.padding, nothing.latency_p50_ms) == ({}, None, None)


def newest_read_first() -> list[Seen]:
    """As after the console's start: one partition's new records, then another's old ones."""
    new = scored(model="new", scored_at=NOON, received_at=NOON - timedelta(milliseconds=5))
    old = scored(model="old", scored_at=NOON - timedelta(hours=1), received_at=NOON - timedelta(2))
    return [Seen(2_000, new)] * 200 + [Seen(1_000, old)] * 300


async def test_of_quiet_topics_the_latest_are_told_and_not_those_read_last(
    page: Caller, services: Services
) -> None:
    flow = flow_of(newest_read_first(), NOON + timedelta(days=1))
    assert (flow.models, flow.latency_p99_ms) == ({"new": 200}, 5.0)
    for seen in newest_read_first():
        put(services, services.settings.topics.scored, seen.record, at_ms=seen.at_ms)
    assert (await page.get("/models"))["serving"] == {"new": 200}


@pytest.mark.parametrize(
    ("seconds", "count", "a_second"),
    [
        (10, 100, 100 / 60),
        (120, 240, 2.0),
        (10, KEPT_SCORED, KEPT_SCORED / 10),  # more came in a minute than are kept
        (500, KEPT_SCORED, KEPT_SCORED / 500),
        (0, KEPT_SCORED, KEPT_SCORED),
    ],
)
def test_a_rate_is_of_the_time_that_what_is_kept_covers(
    seconds: float, count: int, a_second: float
) -> None:
    ages = [seconds * (count - place) / count for place in range(count)]
    assert rate(ages, window_s=60, most=KEPT_SCORED) == pytest.approx(a_second, rel=0.02)


def test_a_rate_of_nothing_is_none() -> None:
    assert rate([], window_s=60, most=5) == 0


def test_a_worker_is_at_work_until_it_ends_or_is_not_seen_again() -> None:
    ledger = [
        entry("a", 1, seconds=0),
        entry("a", 2, seconds=60, model="m-2"),
        Sign("a", NOON + timedelta(seconds=120)),
        entry("b", 1, seconds=0),
        Sign("b", NOON + timedelta(seconds=60), ended=True),
    ]
    (one,) = workers_of(ledger, NOON + timedelta(seconds=130))
    assert (one.worker, one.gone, one.model, one.runs_on) == ("a", False, "m-2", "m-2 on cuda:0")
    assert one.since == NOON
    assert one.seen == NOON + timedelta(seconds=120)
    (one,) = workers_of(ledger, NOON + timedelta(seconds=120 + GONE_AFTER_S + 1))
    assert one.gone
    assert workers_of(ledger, NOON + timedelta(days=2)) == []


async def test_a_loss_of_kafka_that_nobody_has_noticed_yet_is_said(
    page: Caller, services: Services
) -> None:
    put(services, services.settings.topics.ledger, entry("a", 1, seconds=0))
    answer = await page.get("/health")
    assert "can't be reached" in answer["faults"]["kafka"]
    # An entry of long ago, without a sign of life since.
    assert answer["workers"] == []


async def test_however_many_look_the_lag_is_read_once_and_faults_are_as_of_now(
    page: Caller, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0

    async def lag_of(_: Settings) -> list[Lag]:
        nonlocal read
        read += 1
        return [Lag("news", 7, 40)]

    monkeypatch.setattr("stream.console.health_api.lag_of", lag_of)
    answers = await asyncio.gather(*(page.get("/health") for _ in range(50)))
    answers.append(await page.get("/health"))
    assert {one["lag"][0]["records"] for one in answers} == {7}
    assert read == 1
    services.recent.fault = "no broker"
    answer = await page.get("/health")
    assert (answer["faults"]["kafka"], answer["lag"]) == ("no broker", [])
    services.recent.fault = ""
    assert (await page.get("/health"))["faults"]["kafka"] == ""


async def test_settings_are_served(page: Caller) -> None:
    names = [row["name"] for row in (await page.get("/settings"))["settings"]]
    assert "kafka.bootstrap" in names
