"""Live updates: in order, the latest of each alert, bounded, and honest about what is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as AwayError

from stream.console import server
from stream.console.live import MAX_PENDING, MAX_VIEWERS, RELOAD, Hub, Viewer, frame_of
from stream.console.services import Services
from stream.names import Keys
from tests.unit.stream.console.conftest import DEADLINE_S, Caller, fire, followed


def events(frames: bytes) -> list[tuple[str, Any]]:
    found = []
    for frame in frames.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if line[:1] != ":")
        if fields:
            found.append((fields["event"], json.loads(fields["data"])))
    return found


async def wait_for(viewer: Viewer, name: str) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            for event, value in events(await viewer.take(DEADLINE_S)):
                if event == name:
                    return value


async def read_until(stream: ClientResponse, name: str) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []
    while name not in [found for found, _ in seen]:
        seen += events(await stream.content.readuntil(b"\n\n"))
    return seen


async def test_a_slow_page_gets_the_latest_of_each_alert() -> None:
    viewer = Viewer()
    for number in range(100):
        viewer.offer("alert:a", frame_of("alert", {"n": number}))
    viewer.offer("alert:b", frame_of("alert", {"n": 1}))
    assert events(await viewer.take(1)) == [("alert", {"n": 99}), ("alert", {"n": 1})]
    assert await viewer.take(0.01) == b""


async def test_a_page_that_falls_far_behind_loads_anew() -> None:
    viewer = Viewer()
    for number in range(MAX_PENDING + 50):
        viewer.offer(f"alert:{number}", frame_of("alert", {}))
    viewer.offer("status", frame_of("status", {"redis": ""}))
    assert events(await viewer.take(1)) == [(RELOAD, {}), ("status", {"redis": ""})]


async def test_a_page_that_falls_far_behind_still_hears_what_is_away() -> None:
    viewer = Viewer()
    viewer.offer("status", frame_of("status", {"redis": "gone"}))
    for number in range(MAX_PENDING):
        viewer.offer(f"alert:{number}", frame_of("alert", {}))
    assert events(await viewer.take(1)) == [("status", {"redis": "gone"}), (RELOAD, {})]


async def test_the_word_of_a_champion_is_not_lost_in_that_of_its_end_in_shadow(
    services: Services,
) -> None:
    viewer = services.hub.join()
    assert viewer
    await viewer.take(1)
    for alias, version in (("challenger", "b"), ("champion", "b"), ("challenger", "")):
        services.hub.tell("model", {"alias": alias, "version": version}, about=alias)
    told = [value for _, value in events(await viewer.take(1))]
    assert [(one["alias"], one["version"]) for one in told] == [
        ("challenger", ""),
        ("champion", "b"),
    ]


async def test_transitions_reach_every_viewer(services: Services) -> None:
    first, second = services.hub.join(), services.hub.join()
    assert first
    assert second
    alert = await fire(services)
    for viewer in (first, second):
        row = await wait_for(viewer, "alert")
        assert (row["id"], row["state"], row["silence"]) == (alert.id, "firing", "")
    services.hub.leave(first)
    assert services.hub.viewers == 1


async def test_a_page_hears_of_alerts_and_silences_over_http(
    page: Caller, services: Services
) -> None:
    async with page.client.get("/live") as stream, asyncio.timeout(DEADLINE_S):
        assert stream.headers["Content-Type"] == "text/event-stream"
        alert = await fire(services)
        seen = await read_until(stream, "alert")
        assert [name for name, _ in seen] == ["status", "alert"]
        assert seen[-1][1]["id"] == alert.id
        silence = {"matchers": ["rule=bad-news"], "lasts": "1h", "reason": "known"}
        made = await page.post("/silences", silence)
        await read_until(stream, RELOAD)
        await fire(services, after_s=1)
        row = (await read_until(stream, "alert"))[-1][1]
        assert (row["count"], row["silence"]) == (2, made["id"])


async def test_a_quiet_stream_says_that_it_is_alive(
    page: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEARTBEAT_S", 0.01)
    async with page.client.get("/live") as stream, asyncio.timeout(DEADLINE_S):
        assert (await read_until(stream, "beat"))[-1] == ("beat", {})


async def test_there_are_only_so_many_viewers(services: Services) -> None:
    viewers = [services.hub.join() for _ in range(MAX_VIEWERS + 1)]
    assert viewers[-1] is None
    assert None not in viewers[:-1]


class Moody:
    """A Redis that can be away: it then refuses every call."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.away = False

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise AwayError("refused")
        return getattr(self._client, name)


@pytest.fixture
async def moody(client: Redis) -> AsyncIterator[tuple[Moody, Hub]]:
    redis = Moody(client)
    hub = Hub(redis, Keys(), lambda: "")  # type: ignore[arg-type]
    hub.start()
    await followed(hub)
    yield redis, hub
    await hub.stop()


async def test_the_loss_of_redis_is_shown_and_nothing_is_missed(
    moody: tuple[Moody, Hub], services: Services
) -> None:
    redis, hub = moody
    viewer = hub.join()
    assert viewer
    await fire(services)
    await wait_for(viewer, "alert")
    redis.away = True
    status = await wait_for(viewer, "status")
    while not status["redis"]:
        status = await wait_for(viewer, "status")
    assert "refused" in status["redis"]
    await fire(services, subject="ticker:WHILE", after_s=1)
    redis.away = False
    row = await wait_for(viewer, "alert")
    assert row["subject"] == "ticker:WHILE"
    assert hub.faults["redis"] == ""


async def test_a_redis_that_lost_its_stream_has_pages_load_anew(
    moody: tuple[Moody, Hub], services: Services, client: Redis
) -> None:
    redis, hub = moody
    viewer = hub.join()
    assert viewer
    await fire(services)
    await wait_for(viewer, "alert")
    redis.away = True
    while not (await wait_for(viewer, "status"))["redis"]:
        pass
    await client.flushdb()
    redis.away = False
    await wait_for(viewer, RELOAD)
    await fire(services)
    assert (await wait_for(viewer, "alert"))["count"] == 1
