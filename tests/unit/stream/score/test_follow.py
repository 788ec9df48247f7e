"""A champion that these settings can't serve leaves the running model in force."""

from __future__ import annotations

import asyncio
from typing import Any

from models.stub import StubPredictor
from stream.score.follow import Follower
from stream.settings import SettingsError


class NoNews:
    """A consumer to which nobody speaks."""

    async def getmany(self, **_: Any) -> dict[Any, Any]:
        await asyncio.sleep(0)
        return {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Champions:
    def version(self) -> str:
        return "new"

    def challenger(self) -> None:
        return None

    def load(self, version: str, _beside: object) -> StubPredictor:
        return StubPredictor(version=version)


async def test_a_champion_without_what_the_queues_ask_for_is_named_and_not_served(
    monkeypatch, caplog
) -> None:
    monkeypatch.setattr("stream.score.follow.AIOKafkaConsumer", lambda *_, **__: NoNews())
    refused = asyncio.Event()

    async def swap(_fresh: object) -> None:
        refused.set()
        raise SettingsError("setting queues.0.topics: head topic has no label 'cards'")

    follower = Follower(
        Champions(),
        kafka={},
        topic="models",
        running=lambda: StubPredictor(version="old"),
        swap=swap,
        shadow=lambda _challenger: None,
    )
    await follower.start()
    async with asyncio.timeout(10):
        await refused.wait()
        while "the champion is not served: setting queues.0.topics" not in caplog.text:
            await asyncio.sleep(0.01)
    assert not follower._task.done()
    await follower.stop()
