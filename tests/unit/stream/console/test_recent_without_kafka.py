"""The console's reader of our topics while Kafka is away."""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaConnectionError

from stream.config.settings import load_settings
from stream.console.recent import Recent

DEADLINE_S = 10.0


async def test_it_tries_again_although_its_consumer_ends_with_a_cancellation(monkeypatch) -> None:
    tries = 0
    tried_again = asyncio.Event()

    class Away:
        def __init__(self, **_arguments: object) -> None: ...

        async def start(self) -> None:
            nonlocal tries
            tries += 1
            if tries > 1:
                tried_again.set()
            raise KafkaConnectionError("nobody there")

        async def stop(self) -> None:
            raise asyncio.CancelledError

    monkeypatch.setattr("stream.console.recent.AIOKafkaConsumer", Away)
    recent = Recent(load_settings(None), lambda _alias: None)
    recent.start()
    async with asyncio.timeout(DEADLINE_S):
        await tried_again.wait()
    assert "nobody there" in recent.fault
    await recent.stop()
