"""A changed routing file is followed while the worker runs; a faulty one never is."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from stream.notify.notifier import Notifier
from stream.notify.redis_journal import RedisJournal
from stream.notify.routes_live import LiveRoutes
from stream.notify.routing import Routing
from stream.runtime import watched_file
from tests.unit.stream.notify.test_notifier import (
    ALERTING,
    INTERVAL_S,
    KEYS,
    REPEAT_S,
    ROUTES,
    WAIT_S,
    Desk,
    _fast,
)
from tests.until import until

__all__ = ["_fast"]


class Bench(Desk):
    """A desk whose notifiers follow its routing file."""

    def __init__(self, client: Redis, folder: Path) -> None:
        super().__init__(client, folder)
        self.path = folder / "routes.toml"
        self.built: list[Routing | None] = []
        self.live = LiveRoutes(self.path)

    def build(self, routing: Routing | None) -> Notifier:
        self.built.append(routing)
        names = routing.receivers if routing else {}
        sinks = {"one": self.one, "two": self.two}
        return Notifier(
            RedisJournal(self.client, KEYS, ALERTING),
            routing,
            {name: sinks[name] for name in names},
            ALERTING,
            clock=lambda: self.now,
        )

    def write(self, text: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)


@pytest.fixture
async def bench(
    client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setattr(watched_file, "LOOK_EVERY_S", 0.01)
    made = Bench(client, tmp_path)
    made.live.start(made.build)
    yield made
    await made.live.stop()


async def test_alerts_go_where_the_changed_file_says_and_none_is_told_twice(bench: Bench) -> None:
    await bench.fire(rule="one")
    await bench.read()
    bench.now += WAIT_S + 1
    await bench.noted(1)
    bench.write(ROUTES.replace('matchers = ["rule=two"]', 'matchers = ["rule=~two|three"]'))
    former = bench.live._notifier
    await until(lambda: bench.live._notifier is not former)
    await bench.fire(rule="three")
    await bench.read()
    bench.now += WAIT_S + 1
    await bench.noted(1, "two")
    await bench.fire("ticker:B", rule="one")
    await bench.read()
    bench.now += INTERVAL_S + 1
    await bench.noted(2)
    assert [(one.reason, one.firing) for one in bench.one.got] == [("new", 1), ("new", 2)]
    assert [one.alerts[0].rule for one in bench.two.got] == ["three"]


async def test_who_was_told_hears_once_of_an_open_alert_whose_route_was_changed(
    bench: Bench,
) -> None:
    alert = await bench.fire(rule="one")
    await bench.read()
    bench.now += WAIT_S + 1
    await bench.noted(1)
    former = bench.live._notifier
    bench.write(ROUTES.replace('group_by = ["rule"]', 'group_by = ["subject"]'))
    await until(lambda: bench.live._notifier is not former)
    await bench.fire(rule="one")  # a further event of the alert
    await bench.fire("ticker:B", rule="one")
    await bench.read()
    bench.now += WAIT_S + 1
    await bench.noted(2)
    bench.now += INTERVAL_S + 1
    await bench.lifecycle.resolve(alert.id, by="ann", comment="")
    await bench.read()
    bench.now += INTERVAL_S + 1
    await bench.noted(3)
    assert [(one.reason, one.alerts[0].subject) for one in bench.one.got] == [
        ("new", "ticker:A"),
        ("new", "ticker:B"),
        ("resolved", "ticker:A"),
    ]


async def test_a_group_goes_by_the_times_that_the_changed_file_gives_its_route(
    bench: Bench,
) -> None:
    await bench.fire(rule="one")
    await bench.read()
    bench.now += WAIT_S + 1
    await bench.noted(1)
    former = bench.live._notifier
    bench.write(
        ROUTES.replace(f'repeat_interval = "{REPEAT_S}s"', f'repeat_interval = "{INTERVAL_S}s"')
    )
    await until(lambda: bench.live._notifier is not former)
    bench.now += INTERVAL_S + 1
    await bench.noted(2)
    assert [one.reason for one in bench.one.got] == ["new", "repeat"]


async def test_a_file_that_can_not_be_used_leaves_the_old_routes(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        bench.write(ROUTES.replace('receiver = "two"', 'receiver = "nobody"'))
        await until(lambda: "the old routes stay in force" in caplog.text)
    assert "nobody" in caplog.text
    await bench.fire(rule="two")
    await bench.read()
    bench.now += WAIT_S + 1
    await bench.noted(1, "two")
    assert len(bench.built) == 1


async def test_a_file_that_breaks_while_the_worker_starts_leaves_the_routes_it_was_checked_with(
    client: Redis, tmp_path: Path
) -> None:
    desk = Bench(client, tmp_path)
    desk.write("no routes")
    desk.live.start(desk.build)
    await desk.live.stop()
    (routing,) = desk.built
    assert routing
    assert set(routing.receivers) == {"one", "two"}


async def test_without_a_file_there_is_nothing_to_follow(client: Redis, tmp_path: Path) -> None:
    desk = Bench(client, tmp_path)
    live = LiveRoutes(None)
    live.start(desk.build)
    await live.stop()
    assert desk.built == [None]
