"""Notifications on a Kafka topic, keyed by their group."""

from __future__ import annotations

import asyncio

import msgspec

from stream.connections.outbox import Outgoing, RecordSink
from stream.notify.notification import Notification, TryAgainError
from stream.sinks.payloads import bellwether


class TopicSink:
    def __init__(self, outbox: RecordSink, topic: str, timeout_s: float) -> None:
        self._outbox = outbox
        self._topic = topic
        self._timeout_s = timeout_s

    async def send(self, notification: Notification) -> None:
        content = msgspec.json.encode(bellwether(notification))
        record = Outgoing(self._topic, notification.group.encode(), content)
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._outbox.send([record])
        except TimeoutError:
            raise TryAgainError(
                f"Kafka did not confirm a record on {self._topic} within {self._timeout_s:g} s"
            ) from None

    async def close(self) -> None:
        pass
