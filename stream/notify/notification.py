"""What one receiver is told at once, and how a receiver says that it did not work. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

import msgspec

from stream.records import Alert

MAX_ALERTS = 100
"""Alerts that a notification carries; truncated counts the others."""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one group for one receiver. A repeat after a crash has the same id.

    firing and resolved count all alerts of the group; alerts holds at most MAX_ALERTS of them, the
    firing ones first, without evidence.
    """

    id: str
    receiver: str
    reason: Literal["new", "resolved", "repeat"]
    status: Literal["firing", "resolved"]
    group: str
    group_labels: dict[str, str]
    firing: int
    resolved: int
    truncated: int
    alerts: tuple[Alert, ...]
    created_at: datetime


class TryAgainError(Exception):
    """The receiver may take it later; after_s is how long it asked to be left alone."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s


class RefusedError(Exception):
    """The receiver will not take this however often it is sent."""


class Sink(Protocol):
    """One receiver's way out. send() returns when the receiver has it; it may be called again."""

    async def send(self, notification: Notification) -> None:
        """Raises TryAgainError or RefusedError."""
        ...

    async def close(self) -> None: ...
