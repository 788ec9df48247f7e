"""The watchdog: silent while records are finished, loud with cause and remedy when none is."""

from __future__ import annotations

import logging

import pytest

from stream.runtime.backoff import Backoff, present_troubles, retries
from stream.worker import watchdog
from stream.worker.watchdog import StalledError, Watchdog, WorkerProgress


class Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Case:
    """A worker as the watchdog sees it, under a clock that the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr(watchdog, "time", self.clock)
        self.sight = WorkerProgress(in_work=0, finished=0, troubles=[], awaits_model=False)
        self.lags = {("news", 0): 0}
        self.ended: list[Exception] = []
        self.outage = ""
        self.asked = 0
        self.dog = Watchdog(
            stall_s=10,
            look=lambda: self.sight,
            lags=self.read,
            outage=self.ask,
            give_up=self.ended.append,
        )

    def read(self) -> dict[tuple[str, int], int]:
        return self.lags

    async def ask(self) -> str:
        self.asked += 1
        return self.outage

    async def after(self, seconds: float) -> str:
        self.clock.now += seconds
        await self.dog.look()
        return self.dog.stalled

    def see(self, **changes: object) -> None:
        fields = {name: getattr(self.sight, name) for name in self.sight.__struct_fields__}
        self.sight = WorkerProgress(**{**fields, **changes})


@pytest.fixture
def case(monkeypatch: pytest.MonkeyPatch) -> Case:
    return Case(monkeypatch)


async def test_a_quiet_stream_is_no_stall(case: Case) -> None:
    for _ in range(5):
        assert await case.after(100) == ""
    assert case.ended == []


async def test_slow_progress_is_no_stall(case: Case) -> None:
    case.lags = {("news", 0): 9_999}
    for finished in range(1, 6):
        case.see(finished=finished, in_work=500)
        assert await case.after(9) == ""


@pytest.mark.parametrize(
    ("seen", "lag", "said"),
    [
        ({"in_work": 7, "awaits_model": True}, 0, "7 records wait for the model"),
        ({"in_work": 7}, 0, "7 scored records are not confirmed"),
        ({}, 12, "12 records wait in Kafka and none arrives"),
        ({"in_work": 7, "troubles": ["Redis is full"]}, 5, "Redis is full; mend that part"),
    ],
)
async def test_a_stall_is_logged_once_with_its_cause_and_ends_by_progress(
    case: Case, caplog: pytest.LogCaptureFixture, seen: dict[str, object], lag: int, said: str
) -> None:
    caplog.set_level(logging.INFO)
    case.lags = {("news", 0): lag}
    case.see(**seen)
    await case.after(0)
    assert await case.after(9) == ""
    assert said in await case.after(2)
    assert said in await case.after(2)
    assert caplog.text.count(said) == 1
    case.see(finished=1)
    assert await case.after(1) == ""
    assert "it goes on again" in caplog.text


async def test_only_a_stall_of_its_own_making_ends_the_worker(case: Case) -> None:
    case.see(in_work=7, troubles=["Kafka is away"])
    for _ in range(9):
        await case.after(10)
    assert case.ended == []
    case.see(troubles=[], awaits_model=True)
    await case.after(19)
    assert case.ended == []
    await case.after(1)
    assert isinstance(case.ended[0], StalledError)


async def test_brokers_that_are_away_are_named_and_no_reason_to_end_the_worker(case: Case) -> None:
    case.see(in_work=7)
    assert await case.after(0) == ""
    assert await case.after(4) == ""
    assert case.asked == 0
    case.outage = "Kafka can't be reached (refused); start it"
    for _ in range(5):
        said = await case.after(10)
        assert "Kafka can't be reached (refused); start it; mend that part" in said
    assert case.ended == []
    case.outage = ""
    await case.after(19)
    assert case.ended == []
    await case.after(1)
    assert isinstance(case.ended[0], StalledError)


async def test_brokers_that_are_away_are_named_where_nothing_waits_either(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    await case.after(2)
    case.outage = "Kafka can't be reached (refused); start it"
    for _ in range(30):
        await case.after(1)
    assert caplog.text.count("Kafka can't be reached (refused); start it; mend that part") == 1
    assert "Kafka can't be reached" in case.dog.stalled
    assert case.ended == []
    case.outage = ""
    for _ in range(6):
        await case.after(1)
    assert case.dog.stalled == ""


async def test_a_quiet_stream_has_kafka_asked_now_and_then(case: Case) -> None:
    for _ in range(20):
        await case.after(1)
    assert case.asked == 3


async def test_kafka_is_left_in_peace_while_records_are_finished(case: Case) -> None:
    for finished in range(1, 9):
        case.see(finished=finished, in_work=7)
        await case.after(4)
    assert case.asked == 0


async def test_a_wait_is_a_trouble_while_it_lasts_and_counted_for_good() -> None:
    backoff = Backoff("the test waits", logging.getLogger("test"))
    assert present_troubles() == []
    before = retries["the test waits"]
    await backoff.wait(OSError("gone\nforged"))
    (trouble,) = present_troubles()
    assert trouble.startswith("the test waits (OSError: gone")
    assert retries["the test waits"] == before + 1
    del backoff
    assert present_troubles() == []
