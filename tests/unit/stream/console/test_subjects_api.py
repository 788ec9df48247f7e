"""Figures over HTTP: subjects with their windows, and models."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import cast

import msgspec
import pytest
from redis.asyncio import Redis

from models.description import CONFIG, WEIGHTS, read_verified, sealed, shipped
from models.registry import CHAMPION, Registry
from stream.console.server import signals_of
from stream.console.services import Services
from stream.signals.figures import FIGURES
from tests.fakes import NOON, scored
from tests.unit.stream.console.conftest import Caller, RememberingSender, fire, opened, put


async def test_a_subject_has_its_events_windows_and_alerts(
    page: Caller, services: Services
) -> None:
    alert = await fire(services)
    event = scored()
    put(services, services.settings.topics.scored, event)
    await signals_of(services.settings, services.redis, services.keys).observe([event])
    answer = await page.get("/subjects/ticker/HALC")
    assert answer["view"]["sources"] == {"news": 1}
    assert answer["figures"].keys() == set(FIGURES)
    assert answer["figures"]["events"] == 1
    assert [row["id"] for row in answer["alerts"]] == [alert.id]
    unknown = await page.client.get("/api/v1/subjects/ticker/NONE")
    assert unknown.status == 404


async def test_a_subjects_chart_has_alerts_where_they_fired(
    page: Caller, services: Services
) -> None:
    for after_s in (0, 600):
        put(services, services.settings.topics.scored, scored(id=f"e-{after_s}", after_s=after_s))
    alert = await fire(services)
    late = NOON + timedelta(seconds=600)
    await services.redis.hset(services.keys.alert(alert.id), "fired_at", late.isoformat())
    view = (await page.get("/subjects/ticker/HALC"))["view"]
    assert [bucket["alerts"] for bucket in view["buckets"]][-1] == 1


async def test_a_subject_out_of_reach_still_has_its_alerts(
    page: Caller, services: Services
) -> None:
    alert = await fire(services, subject="source:news")
    answer = await page.get("/subjects/source/news")
    assert (answer["view"], answer["events"]) == (None, 0)
    assert [row["id"] for row in answer["alerts"]] == [alert.id]


async def test_markets_are_served(page: Caller, services: Services) -> None:
    put(services, services.settings.topics.scored, scored())
    answer = await page.get("/markets")
    assert [one["id"] for one in answer["heat_map"]["subjects"]] == ["HALC"]
    assert answer["events"] == 1


async def test_without_a_registry_nothing_can_be_promoted(page: Caller) -> None:
    answer = await page.get("/models")
    assert answer["registry"] == ""
    assert answer["attempts"][0]["verdict"] == "promoted: better"
    refused = await page.post("/models/x/promote", {"why": "w"}, status=409)
    assert "model.registry is not set" in refused["error"]


async def test_a_promotion_is_written_and_announced(
    services: Services, connect: object, tmp_path: Path
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    first = registry.add(shipped()).version
    checkpoint, weights = read_verified(shipped())
    other = sealed(msgspec.structs.replace(checkpoint, name="other"), weights)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / WEIGHTS).write_bytes(weights)
    (tmp_path / "other" / CONFIG).write_bytes(msgspec.json.encode(other))
    registry.add(tmp_path / "other")
    registry.point(CHAMPION, first, by="test", why="first", now=NOON)
    with_registry = Services(**{**vars(services), "registry": registry})
    page = await opened(await connect(with_registry))  # type: ignore[operator]
    refused = await page.post("/models/rollback", {"why": "w"}, status=409)
    assert "no predecessor" in refused["error"]
    blank = await page.post(f"/models/{other.version}/promote", {"why": " \u202e "}, status=422)
    assert "why is blank" in blank["error"]
    moved = await page.post(f"/models/{other.version}/promote", {"why": "a try"})
    assert (moved["version"], moved["previous"]) == (other.version, first)
    assert (await page.get("/models"))["before"] == first
    meant = {"why": "no good", "to": first}
    sender = cast("RememberingSender", services.sender)
    sender.away = True
    assert (await page.post("/models/rollback", meant))["version"] == first
    sender.away = False
    # Of two who saw the same champion, the second does not go further back.
    await page.post(f"/models/{other.version}/promote", {"why": "on with it"})
    refused = await page.post("/models/rollback", {**meant, "to": "none-1"}, status=409)
    assert f"its predecessor {first}, not none-1" in refused["error"]
    await page.post("/models/rollback", meant)
    # Not the one that was just left.
    assert (await page.get("/models"))["before"] == ""
    unknown = await page.post("/models/none-1/promote", {"why": "w"}, status=409)
    assert "none-1" in unknown["error"]
    assert (await page.get("/models"))["damaged"] == []
    place = tmp_path / "registry" / "versions" / other.version / CONFIG
    place.write_bytes(place.read_bytes().replace(b"other", b"OTHER"))
    answer = await page.get("/models")
    assert [one["version"] for one in answer["versions"]] == [first]
    assert f"version {other.version}: was changed" in answer["damaged"][0]
    champion = registry.alias(CHAMPION)
    assert champion
    assert champion.version == first
    topics = [sent.topic for sent in services.sender.sent]  # type: ignore[attr-defined]
    assert topics == [services.settings.topics.models] * 3


@pytest.mark.redis
async def test_what_redis_refuses_is_said(page: Caller, services: Services, client: Redis) -> None:
    await client.set(services.keys.alerts_open, "no sorted set")
    answer = await page.client.get("/api/v1/alerts")
    assert answer.status == 503
    assert "Redis" in (await answer.json())["error"]
