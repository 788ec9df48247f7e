"""What is kept of a group of alerts, and what of it is to be written down. Pure."""

from __future__ import annotations

import msgspec

from stream.notify.notification import Notification
from stream.notify.routing import Timing
from stream.records import Alert


class Sending(msgspec.Struct, frozen=True):
    """A notification under way; kept with the group before it is sent, so no crash loses it."""

    notification: Notification
    firing: dict[str, str]
    resolved: tuple[str, ...]


class Group(msgspec.Struct, kw_only=True):
    """Alerts told together to one receiver.

    told maps alerts it knows to be firing to the severity, or to nothing where it heard of others
    since and not of them.
    """

    key: str
    path: str
    receiver: str
    labels: dict[str, str]
    timing: Timing
    mute: tuple[str, ...]
    active: tuple[str, ...]
    opened: float
    due: float
    turn: int = 0
    sent: float = 0.0
    told: dict[str, str] = {}
    sending: Sending | None = None


class Member(msgspec.Struct, frozen=True):
    """An alert in a group, without evidence. since is when the receivers' groups first had it.

    left: its route leads elsewhere now, and only its end is told here, to whom its beginning was.
    covered is the severity at which a group that it left told the same receiver of it.
    """

    alert: Alert
    since: float
    left: bool = False
    covered: str = ""

    @property
    def open(self) -> bool:
        return self.alert.state != "resolved"


class Write(msgspec.Struct, frozen=True):
    """What changed in a group since the last drain; group None: it is over."""

    key: str
    group: Group | None
    members: dict[str, Member]
    gone: frozenset[str]
