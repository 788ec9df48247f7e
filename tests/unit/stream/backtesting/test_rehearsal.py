"""How often a routing file would have told people, in event time."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from stream.backtesting.rehearsal import Rehearsal
from stream.notify.routing import Routing
from stream.records import Alert
from tests.fakes import NOON, alert

HOUR_S = 3_600.0
ROUTES = """
[route]
receiver = "desk"
group_by = ["rule"]
group_wait = "30s"
group_interval = "5m"
repeat_interval = "4h"
[[receivers]]
name = "desk"
type = "redis"
stream = "s"
send_resolved = false
[[inhibit_rules]]
source_matchers = ["severity=critical"]
target_matchers = ["severity=warning"]
equal = ["subject"]
"""


@pytest.fixture
def rehearsal(tmp_path: Path) -> Rehearsal:
    file = tmp_path / "routes.toml"
    file.write_text(ROUTES)
    return Rehearsal(Routing.load(file), quiet_s={"long": 9 * HOUR_S}, default_s=HOUR_S)


def feed(rehearsal: Rehearsal, at_s: float, identity: str = "a", **changes: Any) -> Alert:
    moment = NOON + timedelta(seconds=at_s)
    fields = {"id": identity, "fingerprint": identity, "first_seen": moment, "last_seen": moment}
    one = alert(**{**fields, **changes})
    rehearsal.feed(one, moment.timestamp())
    return one


def test_five_hundred_alerts_of_one_cause_are_one_notification(rehearsal: Rehearsal) -> None:
    for number in range(500):
        feed(rehearsal, number * 0.05, f"a-{number}", subject=f"ticker:T{number}")
    assert rehearsal.finish() == {"desk": 1}


def test_what_comes_after_the_interval_is_told_again(rehearsal: Rehearsal) -> None:
    feed(rehearsal, 0, "a")
    feed(rehearsal, 600, "b")
    assert rehearsal.finish() == {"desk": 2}


def test_an_open_alert_is_repeated_until_it_has_been_quiet(rehearsal: Rehearsal) -> None:
    feed(rehearsal, 0, rule="long")
    # Told at once, and after four and eight hours; after nine it is over.
    assert rehearsal.finish() == {"desk": 3}


def test_a_child_alert_is_hidden_by_its_cause(rehearsal: Rehearsal) -> None:
    feed(rehearsal, 0, "cause", severity="critical", rule="one")
    feed(rehearsal, 1, "child", severity="warning", rule="two")
    assert rehearsal.finish() == {"desk": 1}
    assert rehearsal.hidden == {"child"}


def test_nothing_that_fires_is_nothing_told(rehearsal: Rehearsal) -> None:
    assert rehearsal.finish() == {}


def test_a_match_just_as_the_quiet_time_ends_goes_on_with_the_alert(rehearsal: Rehearsal) -> None:
    for hour in range(4):
        moment = NOON + timedelta(hours=hour)
        feed(rehearsal, hour * HOUR_S, first_seen=NOON, last_seen=moment, sequence=hour + 1)
    # Told once; it was open all the time, and not for long enough to be told again.
    assert rehearsal.finish() == {"desk": 1}
