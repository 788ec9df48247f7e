"""The services that the console's handlers use: clients, stores, followed topics, locks, caches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import msgspec
from redis.asyncio import Redis

from models.registry import Registry
from models.spec import Head
from stream.alerts.lifecycle import Lifecycle
from stream.alerts.silence_store import SilenceStore
from stream.alerts.store import AlertStore
from stream.config.settings import Settings
from stream.connections.outbox import Outbox, Outgoing, open_outbox
from stream.console.errors import NotFoundError
from stream.console.explanations import Explanations
from stream.console.live import Hub
from stream.console.pending_feedback import PendingFeedback
from stream.console.prices import Prices
from stream.console.recent import Recent
from stream.console.shared_answers import ShortCache, SingleFlight
from stream.names import Keys, is_alert_id
from stream.records import Alert
from stream.signals.signal_store import SignalStore

SEND_S = 10.0


class Moved(msgspec.Struct, frozen=True):
    """How far a head's answers on one kind of source have moved since that champion began.

    labels and confidence are population stability indices, None while `missing` further answers
    are needed for the first.
    """

    champion: str
    head: str
    source: str
    missing: int
    labels: float | None = None
    confidence: float | None = None


class LabelLog(Protocol):
    """What the trainer knows so far, from its folder; nothing where there is none. All block."""

    def suspects(self) -> list[dict[str, str]]:
        """Labels that contradict the others, the worst first."""
        ...

    def attempts(self) -> list[dict[str, Any]]:
        """The trainer's latest verdicts, the last first."""
        ...

    def drift(self) -> list[Moved]:
        """Of every head and kind of source that the champion has answered for."""
        ...

    def written(self) -> datetime | None:
        """When the trainer put something into its label log last."""
        ...


class Sender:
    """Sends records to Kafka, connecting when there is something to send."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._outbox: Outbox | None = None
        self._opened = AsyncExitStack()
        self._connecting = asyncio.Lock()

    async def send(self, records: Sequence[Outgoing]) -> None:
        """Return when Kafka has them. Raises TimeoutError or KafkaError; they may still arrive."""
        async with asyncio.timeout(SEND_S):
            outbox = await self._connected()
            await outbox.send(records)

    async def stop(self) -> None:
        await self._opened.aclose()

    async def _connected(self) -> Outbox:
        async with self._connecting:
            if self._outbox is None:
                opening = open_outbox(self._settings.kafka)
                self._outbox = await self._opened.enter_async_context(opening)
            return self._outbox


@dataclass(frozen=True, kw_only=True)
class Services:
    """registry is None where model.registry is not set; heads blocks and raises ModelError.

    prices are None where console.prices is not set.
    trying is held while other thresholds are tried, which is work for a whole core, and replaying
    while dead letters are sent again: the next one here waits, where another process is refused.
    """

    settings: Settings
    redis: Redis
    keys: Keys
    alerts: AlertStore
    lifecycle: Lifecycle
    silences: SilenceStore
    signals: SignalStore
    sender: Sender
    recent: Recent
    hub: Hub
    registry: Registry | None
    heads: Callable[[], tuple[Head, ...]]
    labels: LabelLog
    explanations: Explanations
    prices: Prices | None = None
    pending_feedback: PendingFeedback = field(default_factory=PendingFeedback)
    trying: asyncio.Lock = field(default_factory=asyncio.Lock)
    replaying: asyncio.Lock = field(default_factory=asyncio.Lock)
    single_flight: SingleFlight = field(default_factory=SingleFlight)
    short_cache: ShortCache = field(default_factory=ShortCache)

    async def alert(self, identity: str) -> Alert:
        """The alert of that id; NotFoundError where Redis has none."""
        alert = await self.alerts.get(alert_id(identity))
        if alert is None:
            raise _not_there(identity)
        return alert


def alert_id(identity: str) -> str:
    """What a path names, if an alert can be meant by it; else NotFoundError."""
    if not is_alert_id(identity):
        raise _not_there(identity)
    return identity


def _not_there(identity: str) -> NotFoundError:
    return NotFoundError(
        f"alert {identity!r} is not in Redis; it never was, or alerting.keep_s is over"
    )
