"""What the notifier asks of the place where its knowledge is kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from stream.alerts.silences import Silence
from stream.notify.delivery import Trouble
from stream.notify.group import Write
from stream.notify.grouping import Groups
from stream.records import Alert


class JournalError(Exception):
    """What the notifier knows can't be read or written now."""


class Page(NamedTuple):
    """Transitions up to a position. lost: some are gone, and alerts are the open ones instead."""

    position: str
    alerts: Sequence[Alert]
    lost: bool


class Known(NamedTuple):
    """What the notifier before this one knew. hidden maps alerts to why they are."""

    position: str
    groups: Groups
    hidden: dict[str, str]


class Journal(Protocol):
    """Where the notifier's knowledge is kept. Every method may raise JournalError."""

    async def lead(self) -> bool: ...
    async def resign(self) -> None: ...
    async def load(self) -> Known: ...
    async def read(self, position: str) -> Page: ...
    async def commit(
        self, position: str, writes: Sequence[Write], hidden: Mapping[str, str]
    ) -> bool: ...
    async def count(self, receiver: str, *, error: str) -> None: ...
    async def name_receivers(self, receivers: Collection[str]) -> None: ...
    async def note_troubles(self, troubles: Mapping[str, Trouble]) -> None: ...
    async def silences(self) -> list[Silence]: ...
    async def open_alerts(self) -> list[Alert]: ...
    async def gone(self, alert_ids: Sequence[str]) -> list[str]: ...
    async def say_silenced(self, alert_id: str, silence: Silence) -> None: ...
    async def say_unsilenced(self, alert_id: str, silence_id: str) -> None: ...
    async def mark_flapping(self, alerts: Sequence[Alert]) -> set[str]: ...
