"""The bodies of webhooks in the three shapes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from stream.notify.notification import Notification
from stream.sinks.payloads import alertmanager, bellwether, pagerduty, summary, text
from tests.fakes import NOON, alert, notification

CONSOLE = "https://bellwether.example.com"


def two() -> Notification:
    return notification(
        firing=1,
        resolved=1,
        alerts=(
            alert(id="a-1", severity="critical", labels={"team": "risk"}),
            alert(
                id="b-1",
                state="resolved",
                subject="ticker:NORR",
                labels={"team": "risk"},
                fired_at=NOON + timedelta(minutes=5),
                ended_at=NOON + timedelta(minutes=9),
            ),
        ),
    )


def test_ours_is_the_notification_with_a_version() -> None:
    body = bellwether(two())
    assert body["version"] == 1
    assert (body["id"], body["reason"], body["firing"], body["resolved"]) == ("n-1", "new", 1, 1)
    assert [one["id"] for one in body["alerts"]] == ["a-1", "b-1"]
    assert msgspec.convert(body, Notification) == two()


def test_alertmanagers_shape_has_its_fields() -> None:
    body = alertmanager(two(), console=CONSOLE)
    assert body.keys() == {
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "notificationReason",
        "alerts",
    }
    assert (body["version"], body["status"]) == ("4", "firing")
    assert body["commonLabels"] == {
        "alertname": "r",
        "rule": "r",
        "subject_kind": "ticker",
        "team": "risk",
    }
    firing, resolved = body["alerts"]
    assert (body["externalURL"], firing["generatorURL"]) == (CONSOLE, f"{CONSOLE}/alerts/a-1")
    assert (firing["status"], firing["endsAt"]) == ("firing", "0001-01-01T00:00:00Z")
    assert (resolved["status"], resolved["endsAt"]) == ("resolved", "2026-03-12T12:09:00Z")
    assert resolved["startsAt"] == "2026-03-12T12:05:00Z"
    assert firing["labels"]["severity"] == "critical"
    assert firing["startsAt"] == "2026-03-12T12:00:00Z"


def test_pagerduty_gets_one_incident_a_group() -> None:
    body = pagerduty(two(), routing_key="key", console=CONSOLE)
    assert (body["routing_key"], body["event_action"]) == ("key", "trigger")
    assert body["dedup_key"] == "bellwether-g-1"
    assert [one["href"] for one in body["links"]] == [
        f"{CONSOLE}/alerts/a-1",
        f"{CONSOLE}/alerts/b-1",
    ]
    assert body["payload"]["severity"] == "critical"
    assert body["payload"]["summary"] == "[critical] Trouble and 1 more"
    assert (
        len(
            pagerduty(notification(alerts=(alert(title="x" * 3_000),)), routing_key="k")["payload"][
                "summary"
            ]
        )
        <= 1_024
    )


def test_pagerduty_closes_the_incident() -> None:
    over = notification(status="resolved", firing=0, resolved=1, alerts=(alert(state="resolved"),))
    assert pagerduty(over, routing_key="key") == {
        "routing_key": "key",
        "event_action": "resolve",
        "dedup_key": "bellwether-g-1",
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "[warning] Trouble"),
        ({"firing": 500}, "[warning] Trouble and 499 more"),
        ({"status": "resolved"}, "RESOLVED [warning] Trouble"),
    ],
)
def test_the_summary_is_one_line(changes: dict[str, Any], said: str) -> None:
    assert summary(notification(**changes)) == said


def test_the_text_names_ten_and_counts_the_rest() -> None:
    many = notification(firing=500, alerts=tuple(alert(id=f"a-{n}") for n in range(100)))
    lines = text(many, console=CONSOLE).splitlines()
    assert lines[-1] == "and 490 more"
    assert sum("id a-" in line for line in lines) == 10
    assert f"  {CONSOLE}/alerts/a-9" in lines
