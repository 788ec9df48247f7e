"""What about an alert is news to those who hear of its group. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from stream.alerts.evidence import SEVERITY_RANKS
from stream.notify.group import Group, Member
from stream.records import Alert


def reason_to_speak(
    group: Group, firing: Mapping[str, Member], resolved: list[str], now: float
) -> Literal["new", "resolved", "repeat"] | None:
    """What a group with these alerts has to say now, if anything."""
    members = firing.values()
    if any(_rank(one.alert.severity) > _covered(one, group.told) for one in members):
        return "new"
    if resolved:
        return "resolved"
    unattended = any(_rank(one.alert.severity) > _attended(one.alert) for one in members)
    repeats = is_known(group, firing) and now >= repeats_at(group)
    return "repeat" if unattended and repeats else None


def repeats_at(group: Group) -> float:
    return group.sent + group.timing.repeat_interval_s


def is_known(group: Group, firing: Mapping[str, Member]) -> bool:
    """Whether its receiver was told of any of it, so that there is something to repeat."""
    return bool(group.told) or any(one.covered for one in firing.values())


def graver(one: str, other: str) -> str:
    """Of two severities; an empty one is none."""
    return max(one, other, key=_rank)


def lean(alert: Alert) -> Alert:
    """Without evidence and signal; a silence hides an alert and is no state of it."""
    state = "updated" if alert.state == "silenced" else alert.state
    return msgspec.structs.replace(alert, evidence=(), ended_by=None, signal={}, state=state)


def matters(new: Alert, old: Alert) -> bool:
    """Whether more has changed than how often and when the alert was seen."""
    return (new.severity, new.labels, new.handling, new.state == "resolved") != (
        old.severity,
        old.labels,
        old.handling,
        old.state == "resolved",
    )


def _covered(member: Member, told: Mapping[str, str]) -> int:
    """Up to which rank nobody need hear of it: they were told, or somebody looks after it."""
    alert = member.alert
    return max(_rank(told.get(alert.id)), _rank(member.covered), _attended(alert))


def _attended(alert: Alert) -> int:
    """Up to which rank somebody looks after it."""
    handling = alert.handling
    if handling.acknowledged_by and not handling.acknowledged_severity:
        return max(SEVERITY_RANKS.values())  # by a former version, which noted no severity
    return _rank(handling.acknowledged_severity)


def _rank(severity: str | None) -> int:
    return SEVERITY_RANKS[severity] if severity else -1
