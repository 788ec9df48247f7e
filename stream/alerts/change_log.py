"""Publishes to Kafka what people and silences changed about alerts.

The stream in Redis is written in the same step as the alert, so a change is never without its
record; this service carries it on, from a position it keeps. Events' own transitions are published
by the pipeline, before their records count as done.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream.alerts.store import AlertStore, transition_of
from stream.config.settings import Alerting
from stream.connections.lease import RENEW_S, Lease
from stream.connections.outbox import Outgoing, RecordSink
from stream.names import Keys
from stream.records import Alert, encode
from stream.runtime.backoff import Backoff
from stream.runtime.tasks import end

logger = logging.getLogger(__name__)

PAGE = 500
TICK_S = 0.2


class ChangeLog:
    """start() and stop() frame its use, on one event loop; one worker of a deployment does it."""

    def __init__(
        self, redis: Redis, keys: Keys, alerting: Alerting, outbox: RecordSink, topic: str
    ) -> None:
        self._redis = redis
        self._store = AlertStore(redis, keys, alerting)
        self._stream = keys.alerts_stream
        self._position_key = keys.notify("published")
        self._lease = Lease(redis, keys.notify("publisher"))
        self._outbox = outbox
        self._topic = topic

    def start(self) -> asyncio.Task[None]:
        self._task = asyncio.create_task(self._publish_for_ever(), name="change-log")
        return self._task

    async def stop(self) -> None:
        await end(self._task)
        try:
            await self._lease.give_up()
        except (RedisError, OSError) as error:
            logger.info("the change log's lease ends by itself: %s", error)

    async def _publish_for_ever(self) -> None:
        backoff = Backoff("changes of alerts can't be published", logger)
        while True:
            try:
                if await self._lease.hold():
                    wait_s = 0.0 if await self._publish() else TICK_S
                else:
                    wait_s = RENEW_S
            except (RedisError, OSError) as error:
                await backoff.wait(error)
                continue
            backoff.reset()
            await asyncio.sleep(wait_s)

    async def _publish(self) -> bool:
        """One page of the stream. False: there was nothing."""
        kept: Any = await self._redis.get(self._position_key)
        begin = f"({kept.decode()}" if kept else "-"
        entries: Any = await self._redis.xrange(self._stream, begin, "+", count=PAGE)
        if not entries:
            return False
        # Redis numbers entries by its clock: an emptied stream goes on with higher ids.
        if kept and not await self._redis.xrange(self._stream, kept, kept):
            await self._publish_all()
        changes = (transition_of(fields) for _, fields in entries if b"change" in fields)
        await self._send([alert for alert in changes if alert])
        await self._lease.write([["SET", self._position_key, entries[-1][0].decode()]])
        return True

    async def _publish_all(self) -> None:
        """Each alert as it stands: the capped stream may have lost the change that made it so."""
        alerts = await self._store.list_all(lambda alert: bool(alert.handling.action))
        logger.warning(
            "the alert stream lost transitions before they were read (raise "
            "alerting.stream_length); publishing the %d alerts that people, silences or quiet have "
            "changed as they stand",
            len(alerts),
        )
        for start in range(0, len(alerts), PAGE):
            await self._send([_as_told(alert) for alert in alerts[start : start + PAGE]])

    async def _send(self, alerts: Sequence[Alert]) -> None:
        await self._outbox.send(
            [Outgoing(self._topic, alert.fingerprint.encode(), encode(alert)) for alert in alerts]
        )


def _as_told(alert: Alert) -> Alert:
    """That a silence hides it is in the transition alone, which has the same sequence."""
    silenced = alert.handling.action == "silenced"
    return msgspec.structs.replace(alert, state="silenced") if silenced else alert
