"""A champion that can't be served leaves the running model in force, and the next is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from models.stub import StubPredictor
from stream.config.settings import SettingsError
from stream.serving.follower import Follower
from stream.serving.refusal import LONGEST_WAIT_S, Refusal
from tests.until import until

DEADLINE_S = 10.0


class News:
    """A consumer to which the test speaks."""

    def __init__(self) -> None:
        self.announced = 0

    async def getmany(self, **_: Any) -> dict[Any, Any]:
        await asyncio.sleep(0)
        heard, self.announced = self.announced, 0
        return {"news": heard} if heard else {}

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """As aiokafka's does without Kafka."""
        raise asyncio.CancelledError


class Champions:
    def __init__(self) -> None:
        self.champion = "new"
        self.in_shadow: str | None = None
        self.files = "as first written"
        self.looks = 0
        self.loaded: list[str] = []
        self.broken = False

    def version(self) -> str:
        self.looks += 1
        return self.champion

    def challenger(self) -> str | None:
        return self.in_shadow

    def stamp(self, _version: str) -> str:
        return self.files

    def load(self, version: str, _beside: object) -> StubPredictor:
        self.loaded.append(version)
        if self.broken:
            raise RuntimeError("does not fit")
        return StubPredictor(version=version)

    async def looks_more(self) -> None:
        before = self.looks
        await until(lambda: self.looks > before + 3, DEADLINE_S)


class Serving:
    """What the follower swaps in; its first errors are those that it is given."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.running = StubPredictor(version="old")
        self.shadow: Any = None
        self.refused = Refusal()
        self.news = News()

    async def swap(self, fresh: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.running = fresh

    def put_in_shadow(self, challenger: Any) -> None:
        self.shadow = challenger


@asynccontextmanager
async def following(
    champions: Champions, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    monkeypatch.setattr("stream.serving.follower.AIOKafkaConsumer", lambda *_, **__: serving.news)
    monkeypatch.setattr("stream.serving.follower.LOOK_ANYWAY_S", 0.0)
    follower = Follower(
        champions,
        kafka={},
        topic="models",
        running=lambda: serving.running,
        swap=serving.swap,
        shadow=serving.put_in_shadow,
        refused=serving.refused,
    )
    await follower.start()
    try:
        yield
    finally:
        await follower.stop()


@pytest.mark.parametrize(
    "error",
    [
        SettingsError("setting queues.0.topics: head topic has no label 'cards'"),
        RuntimeError("CUDA out of memory"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_champion_that_cannot_be_served_is_named_and_tried_again_by_itself(
    monkeypatch, caplog, error: Exception
) -> None:
    monkeypatch.setattr("stream.serving.refusal.FIRST_WAIT_S", 0.0)
    serving = Serving(error)
    async with following(Champions(), serving, monkeypatch):
        await until(lambda: serving.running.version == "new", DEADLINE_S)
    assert f"the champion is not served: {error} ({type(error).__name__})" in caplog.text
    assert not serving.refused.why


async def test_a_refused_champion_is_not_loaded_again_until_something_may_have_mended_it(
    monkeypatch,
) -> None:
    champions, serving = Champions(), Serving()
    champions.broken = True
    async with following(champions, serving, monkeypatch):
        loads = 0

        async def loaded_once_more() -> None:
            nonlocal loads
            loads += 1
            await until(lambda: len(champions.loaded) == loads, DEADLINE_S)
            await champions.looks_more()
            assert len(champions.loaded) == loads
            assert serving.refused.why == "does not fit (RuntimeError)"

        await loaded_once_more()
        champions.files = "written again"
        await loaded_once_more()
        serving.news.announced += 1
        await loaded_once_more()
        serving.refused.try_again()  # as for other rules
        await loaded_once_more()
        champions.champion = "newer"
        await loaded_once_more()
        assert serving.refused.version == "newer"
        champions.champion = "old"
        await until(lambda: not serving.refused.why, DEADLINE_S)


async def test_a_refused_challenger_is_not_loaded_again_either(monkeypatch, caplog) -> None:
    champions, serving = Champions(), Serving()
    champions.champion, champions.in_shadow, champions.broken = "old", "bold", True
    async with following(champions, serving, monkeypatch):
        await until(lambda: champions.loaded == ["bold"], DEADLINE_S)
        await champions.looks_more()
        assert champions.loaded == ["bold"]
        champions.files, champions.broken = "written again", False
        await until(lambda: serving.shadow, DEADLINE_S)
    assert "the challenger is not run in shadow: does not fit" in caplog.text
    assert not serving.refused.why


def test_the_very_same_version_is_tried_more_and_more_seldom() -> None:
    refused, now, waits = Refusal(), 0.0, []
    for _ in range(9):
        refused.note("new", "files", RuntimeError("does not fit"), now)
        tried_at = now
        while refused.stands("new", "files", now):
            now += 60.0
        waits.append(now - tried_at)
    assert waits == [60, 120, 240, 480, 960, 1920, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]
    refused.note("new", "other files", RuntimeError("does not fit"), now)
    assert not refused.stands("new", "other files", now + 60.0)
