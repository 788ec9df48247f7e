"""A champion that can't be served leaves the running model in force, and the next is looked at."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from models.stub import StubPredictor
from stream.config.settings import SettingsError
from stream.serving.follower import Follower


class NoNews:
    """A consumer to which nobody speaks."""

    async def getmany(self, **_: Any) -> dict[Any, Any]:
        await asyncio.sleep(0)
        return {}

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """As aiokafka's does without Kafka."""
        raise asyncio.CancelledError


class Champions:
    def version(self) -> str:
        return "new"

    def challenger(self) -> None:
        return None

    def load(self, version: str, _beside: object) -> StubPredictor:
        return StubPredictor(version=version)


@pytest.mark.parametrize(
    "error",
    [
        SettingsError("setting queues.0.topics: head topic has no label 'cards'"),
        RuntimeError("CUDA out of memory"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_champion_that_cannot_be_served_is_named_and_the_next_one_is_looked_at(
    monkeypatch, caplog, error: Exception
) -> None:
    monkeypatch.setattr("stream.serving.follower.AIOKafkaConsumer", lambda *_, **__: NoNews())
    monkeypatch.setattr("stream.serving.follower.RETRY_S", 0.0)
    monkeypatch.setattr("stream.serving.follower.LOOK_ANYWAY_S", 0.0)
    looks = 0
    served = asyncio.Event()

    async def swap(_fresh: object) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise error
        served.set()

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
        await served.wait()
    assert f"the champion is not served: {error} ({type(error).__name__})" in caplog.text
    await follower.stop()
