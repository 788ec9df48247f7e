"""A worker that starts says what it waits for, its group too."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from stream.ingest import chunks
from stream.ingest.chunks import start_reading
from stream.runtime.errors import StartError
from stream.worker.monitor import WorkerMonitor
from tests.until import until

DEADLINE_S = 10.0


class App:
    """A Faust app whose group forms when the test says so."""

    def __init__(self) -> None:
        self.conf = SimpleNamespace(id="desk")
        self.formed = asyncio.Event()
        self.refused: Exception | None = None
        thread = SimpleNamespace(refusal=lambda: self.refused)
        self.consumer = SimpleNamespace(_thread=thread)

    async def start(self) -> None:
        await self.formed.wait()


async def nobody_looks_after_it() -> str:
    return "no broker looks after the group desk; start the brokers that are down"


async def nothing_is_wrong() -> str:
    return ""


@pytest.mark.parametrize(
    ("outage", "said"),
    [
        (nobody_looks_after_it, "no broker looks after the group desk"),
        (nothing_is_wrong, "until the group has given up members that ended"),
    ],
)
async def test_health_says_why_a_start_waits_for_its_group(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, outage: Any, said: str
) -> None:
    monkeypatch.setattr(chunks, "SAID_AFTER_S", 0.0)
    monitor = WorkerMonitor(SimpleNamespace(started=False))  # type: ignore[arg-type]
    assert "waits for Kafka and Redis" in monitor.health().details["worker"]
    app: Any = App()
    starting = asyncio.create_task(start_reading(app, outage))
    await until(lambda: said in monitor.health().details["worker"], DEADLINE_S)
    assert monitor.health().ok
    report = await monitor.ready()
    assert (report.ok, said in report.details["worker"]) == (False, True)
    assert "waiting for the group desk" in caplog.text
    app.formed.set()
    await asyncio.wait_for(starting, DEADLINE_S)
    await until(lambda: said not in monitor.health().details["worker"], DEADLINE_S)


async def test_a_group_that_does_not_take_the_worker_ends_its_start() -> None:
    app: Any = App()
    app.refused = RuntimeError("InconsistentGroupProtocolError")
    with pytest.raises(StartError, match="does not take this worker"):
        await asyncio.wait_for(start_reading(app, nothing_is_wrong), DEADLINE_S)
