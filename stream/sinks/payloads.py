"""The bodies of webhooks: our own, and the shapes of Alertmanager and PagerDuty. Pure.

Sources: Alertmanager's page "Configuration", section webhook_config (version 4); PagerDuty's page
"Send an alert event" (Events API version 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from stream.alerts.matchers import SEVERITIES, labels_of
from stream.notify.notification import Notification
from stream.records import Alert

VERSION = 1
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
PAGERDUTY_SUMMARY_CHARS = 1_024
SHOWN = 10
"""Alerts of a notification that people are shown; the others are counted."""
NEVER = "0001-01-01T00:00:00Z"


def bellwether(notification: Notification) -> dict[str, Any]:
    """The notification as it is, with a version; the topic and the Redis stream carry the same."""
    return {"version": VERSION, **msgspec.to_builtins(notification)}


def alertmanager(notification: Notification, *, console: str = "") -> dict[str, Any]:
    """Console is the address to which links lead; none without one."""
    labels = [_labels(alert) for alert in notification.alerts]
    notes = [_annotations(alert) for alert in notification.alerts]
    return {
        "version": "4",
        "groupKey": notification.group,
        "truncatedAlerts": notification.truncated,
        "status": notification.status,
        "receiver": notification.receiver,
        "groupLabels": notification.group_labels,
        "commonLabels": _common(labels),
        "commonAnnotations": _common(notes),
        "externalURL": console,
        "notificationReason": notification.reason,
        "alerts": [
            {
                "status": "resolved" if alert.state == "resolved" else "firing",
                "labels": own,
                "annotations": note,
                "startsAt": msgspec.to_builtins(alert.began),
                "endsAt": (
                    msgspec.to_builtins(alert.ended_at or alert.last_seen)
                    if alert.state == "resolved"
                    else NEVER
                ),
                "generatorURL": _link(alert, console),
                "fingerprint": alert.fingerprint,
            }
            for alert, own, note in zip(notification.alerts, labels, notes, strict=True)
        ],
    }


def pagerduty(notification: Notification, *, routing_key: str, console: str = "") -> dict[str, Any]:
    """dedup_key is the group, so one group is one incident, however often it is sent."""
    body: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "trigger" if notification.status == "firing" else "resolve",
        "dedup_key": f"bellwether-{notification.group}",
    }
    if notification.status == "firing" and notification.alerts:
        first = notification.alerts[0]
        if console:
            body["links"] = [
                {"href": _link(alert, console), "text": alert.title}
                for alert in notification.alerts[:SHOWN]
            ]
        severities = [alert.severity for alert in notification.alerts if alert.state != "resolved"]
        worst = max(severities, key=SEVERITIES.index)
        body["payload"] = {
            "summary": summary(notification)[:PAGERDUTY_SUMMARY_CHARS],
            "source": first.subject,
            "severity": worst,
            "timestamp": msgspec.to_builtins(first.last_seen),
            "component": first.rule,
            "group": notification.group,
            "class": first.rule,
            "custom_details": {
                "id": notification.id,
                "firing": notification.firing,
                "resolved": notification.resolved,
                "group_labels": notification.group_labels,
                "alerts": [
                    f"{alert.title}: {alert.summary}" for alert in notification.alerts[:SHOWN]
                ],
            },
        }
    return body


def summary(notification: Notification) -> str:
    """One line for people."""
    if not notification.alerts:
        return f"{notification.firing} alerts firing"
    first = notification.alerts[0]
    more = notification.firing + notification.resolved - 1
    state = "RESOLVED " if notification.status == "resolved" else ""
    return f"{state}[{first.severity}] {first.title}{f' and {more} more' if more else ''}"


def text(notification: Notification, *, console: str = "") -> str:
    """A few lines for people: mail, chat."""
    lines = [
        f"{'resolved' if alert.state == 'resolved' else alert.severity}: {alert.title}\n"
        f"  {alert.summary}\n  {alert.count} events, {alert.subject}, id {alert.id}"
        + (f"\n  {_link(alert, console)}" if console else "")
        for alert in notification.alerts[:SHOWN]
    ]
    rest = notification.firing + notification.resolved - len(lines)
    return "\n".join([*lines, *([f"and {rest} more"] if rest else [])])


def _link(alert: Alert, console: str) -> str:
    return f"{console}/alerts/{alert.id}" if console else ""


def _labels(alert: Alert) -> dict[str, str]:
    return {"alertname": alert.rule, **labels_of(alert)}


def _annotations(alert: Alert) -> dict[str, str]:
    return {
        "title": alert.title,
        "summary": alert.summary,
        "alert_id": alert.id,
        "count": str(alert.count),
    }


def _common(all_of: Sequence[Mapping[str, str]]) -> dict[str, str]:
    if not all_of:
        return {}
    first, *others = all_of
    return {
        name: value
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    }
