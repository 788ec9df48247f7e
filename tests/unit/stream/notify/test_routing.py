"""The routing tree: who gets an alert, and how a wrong file is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stream.notify.grouping import Groups
from stream.notify.inhibition import Inhibitors
from stream.notify.route_file import RouteError
from stream.notify.routing import Routing, Timing
from tests.fakes import alert

RECEIVERS = """
[[receivers]]
name = "all"
type = "redis"
stream = "out"

[[receivers]]
name = "pager"
type = "topic"
topic = "pages"

[[receivers]]
name = "chat"
type = "redis"
stream = "chat"
"""

TREE = (
    """
[route]
receiver = "all"
group_by = ["rule"]
group_wait = "10s"

[[route.routes]]
matchers = ['severity="critical"']
receiver = "pager"
continue = true
group_interval = "1m"

[[route.routes.routes]]
matchers = ["team=risk"]
group_by = ["..."]

[[route.routes]]
matchers = ["rule=~fraud-.*"]
receiver = "chat"

[[route.routes]]
matchers = ["rule=fraud-wave"]
receiver = "pager"
"""
    + RECEIVERS
)


def routing(tmp_path: Path, text: str) -> Routing:
    file = tmp_path / "routes.toml"
    file.write_text(text)
    return Routing.load(file)


@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ({"severity": "info", "rule": "x"}, ["all"]),
        ({"severity": "critical", "rule": "x"}, ["pager"]),
        ({"severity": "info", "rule": "fraud-wave"}, ["chat"]),
        ({"severity": "critical", "rule": "fraud-wave"}, ["pager", "chat"]),
        ({}, ["all"]),
    ],
)
def test_the_first_match_takes_an_alert_unless_it_goes_on(
    tmp_path: Path, labels: dict[str, str], receivers: list[str]
) -> None:
    found = routing(tmp_path, TREE).routes_of(labels)
    assert [node.receiver for node in found] == receivers


def test_a_child_takes_what_it_does_not_say_from_its_parent(tmp_path: Path) -> None:
    labels = {"severity": "critical", "team": "risk", "rule": "x"}
    (node,) = routing(tmp_path, TREE).routes_of(labels)
    assert (node.receiver, node.timing) == ("pager", Timing(10, 60, 14_400))
    assert node.path == '{}/{severity="critical"}/{team="risk"}'
    assert node.group_labels(labels) == labels
    (root,) = routing(tmp_path, TREE).routes_of({"rule": "y", "severity": "info"})
    assert root.group_labels({"rule": "y"}) == {"rule": "y"}


def test_routes_that_differ_in_their_times_alone_have_groups_of_their_own(tmp_path: Path) -> None:
    route = (
        '[[route.routes]]\nmatchers = ["severity=critical"]\nreceiver = "pager"\ncontinue = true\n'
    )
    by_day = '[[time_intervals]]\nname = "day"\ntimes = ["08:00-18:00"]\n'
    text = "\n".join(
        (ROOT, f'{route}active_time_intervals = ["day"]', f'{route}mute_time_intervals = ["day"]')
    )
    found = routing(tmp_path, text + "\n" + by_day + RECEIVERS)
    nodes = found.routes_of({"severity": "critical"})
    groups = Groups()
    groups.take(alert(severity="critical"), found, 0.0)
    assert [group.path for group in groups.groups.values()] == [node.path for node in nodes]
    assert [len(groups.members(key)) for key in groups.groups] == [1, 1]
    # As it was, so that groups kept by a former version are found again.
    assert nodes[0].path == '{}/{severity="critical"}'


ROOT = '[route]\nreceiver = "all"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("route = 3\n" + RECEIVERS, r"line 1, route: expected `object`, got `int`"),
        (RECEIVERS, "route is missing"),
        (ROOT, "receivers is missing"),
        ("[route]\ngroup_by = []\n" + RECEIVERS, "line 1, route: receiver is missing"),
        (
            '[route]\nreceiver = "no"\n' + RECEIVERS,
            r"line 2, route.receiver: no .*'no'; known: all",
        ),
        (ROOT + 'group_wiat = "1s"\n' + RECEIVERS, r"line 3, .*did you mean 'group_wait'\?"),
        (ROOT + 'group_wait = "soon"\n' + RECEIVERS, r"line 3, route.group_wait: 'soon': write a"),
        (ROOT + 'matchers = ["a=b"]\n' + RECEIVERS, "the root takes every alert"),
        (
            ROOT
            + '[[route.routes]]\nmatchers = ["a=b"]\n[[route.routes]]\nreceiver = "chat"\n'
            + RECEIVERS,
            r"line 5, route.routes\[1\]: matchers is missing",
        ),
        (
            ROOT + '[[route.routes]]\nmatchers = ["a=~("]\n' + RECEIVERS,
            r"line 4, route.routes\[0\].matchers: .*unclosed group",
        ),
        (
            ROOT + 'mute_time_intervals = ["night"]\n' + RECEIVERS,
            "line 3, .*no time interval is named 'night'",
        ),
        (
            ROOT + 'group_interval = "1h"\nrepeat_interval = "1m"\n' + RECEIVERS,
            "repeat_interval is shorter",
        ),
        (ROOT + RECEIVERS + RECEIVERS, "two receivers are named 'all'"),
        (
            ROOT + RECEIVERS + '[[receivers]]\nname = "x"\ntype = "smoke"\n',
            r"receivers\[3\].type: invalid enum value 'smoke'; write topic, redis, webhook",
        ),
        (
            ROOT + RECEIVERS + '[[inhibit_rules]]\nsource_matchers = ["x"]\ntarget_matchers = []\n',
            r"inhibit_rules\[0\].source_matchers: 'x' is no matcher",
        ),
        (
            ROOT + RECEIVERS + '[[time_intervals]]\nname = "n"\nzone = "Mars/Base"\n',
            r"time_intervals\[0\]: zone 'Mars/Base' is not known",
        ),
        (
            ROOT + RECEIVERS + '[[time_intervals]]\nname = "n"\ntimes = ["22:00-06:00"]\n',
            "two spans over midnight",
        ),
        (
            ROOT + RECEIVERS + '[[time_intervals]]\nname = "n"\ndays_of_month = ["0:3"]\n',
            r"days_of_month '0:3' is not known; write \"24\" or \"24:26\"",
        ),
        (
            ROOT + RECEIVERS + '[[time_intervals]]\nname = "n"\nmonths = ["may", "maj"]\n',
            r"months 'maj' is not known",
        ),
        (
            ROOT + RECEIVERS + '[[time_intervals]]\nname = "n"\nweekdays = ["friday:monday"]\n',
            "runs backwards",
        ),
        (
            ROOT + RECEIVERS + '[[time_intervals]]\nname = "n"\nyears = ["2026:"]\n',
            r"years '2026:' is not known; write \"2026\" or \"2026:2027\"",
        ),
        ("[route\n", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_line_section_and_reason(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(RouteError, match=said):
        routing(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            '[route]\nreceiver = "all"\ngroup_wiat = "1s"\n'
            '[[route.routes]]\nmatchers = "x"\n'
            '[[route.routes.routes]]\nmatchers = ["a=b"]\nreceiver = 3\n'
            '[[receivers]]\ntype = "redis"\n'
            '[[receivers]]\nname = "x"\ntype = "smoke"\n'
            "[[inhibit_rules]]\nsource_matchers = []\n",
            [
                "line 3, route.group_wiat: 'group_wiat' is not known",
                "line 5, route.routes[0].matchers: expected `array`, got `str`",
                "line 8, route.routes[0].routes[0].receiver: expected `str | null`, got `int`",
                "line 14, inhibit_rules[0]: target_matchers is missing; add it",
                "line 9, receivers[0]: name is missing; add it",
                "line 13, receivers[1].type: invalid enum value 'smoke'",
            ],
            id="tables",
        ),
        pytest.param(
            '[route]\ngroup_wait = "soon"\nmute_time_intervals = ["night", "day"]\n'
            '[[route.routes]]\nmatchers = ["a=b", "c=~("]\nreceiver = "nobody"\n'
            "[[route.routes]]\n"
            + RECEIVERS
            + '[[time_intervals]]\nname = "night"\nzone = "Mars/Base"\n',
            [
                "time_intervals[0]: zone 'Mars/Base' is not known",
                "line 1, route: receiver is missing",
                "line 3, route.mute_time_intervals: no time interval is named 'day'",
                "line 2, route.group_wait: 'soon'",
                "line 5, route.routes[0].matchers: ",
                "line 6, route.routes[0].receiver: no receiver is named 'nobody'",
                "line 7, route.routes[1]: matchers is missing",
            ],
            id="meaning",
        ),
    ],
)
def test_all_faults_of_a_file_are_named(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(RouteError) as caught:
        routing(tmp_path, text)
    assert len(caught.value.faults) == len(said), caught.value.faults
    for fault, begin in zip(caught.value.faults, said, strict=True):
        assert begin in fault
        assert fault in str(caught.value)


def test_a_file_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(RouteError, match=r"correct alerting\.routes"):
        Routing.load(tmp_path / "absent.toml")


INTERVALS = (
    ROOT
    + RECEIVERS
    + """
[[time_intervals]]
name = "office"
weekdays = ["monday:friday"]
times = ["09:00-17:00"]
zone = "Europe/Berlin"

[[time_intervals]]
name = "holidays"
days_of_month = ["24:26", "-1"]
months = ["december", "2"]
years = ["2026:2027"]

[[time_intervals]]
name = "night"
times = ["22:00-24:00", "00:00-06:00"]
"""
)


@pytest.mark.parametrize(
    ("mute", "active", "moment", "muted"),
    [
        ((), (), "2026-03-12T12:00", False),
        (("night",), (), "2026-03-12T23:30", True),
        (("night",), (), "2026-03-12T05:59", True),
        (("night",), (), "2026-03-12T06:00", False),
        ((), ("office",), "2026-03-12T08:00", False),
        ((), ("office",), "2026-03-12T07:59", True),
        # Summer time: nine o'clock in Berlin is seven in UTC.
        ((), ("office",), "2026-07-09T07:00", False),
        ((), ("office",), "2026-03-14T12:00", True),
        (("holidays",), (), "2026-12-24T00:00", True),
        (("holidays",), (), "2027-12-31T12:00", True),
        (("holidays",), (), "2026-12-30T12:00", False),
        (("holidays",), (), "2026-11-24T12:00", False),
        (("holidays",), (), "2028-12-24T12:00", False),
        (("holidays",), (), "2027-02-28T23:59", True),
        (("gone",), ("gone",), "2026-03-14T12:00", False),
    ],
)
def test_time_intervals_keep_a_route_silent(
    tmp_path: Path, mute: tuple[str, ...], active: tuple[str, ...], moment: str, muted: bool
) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert routing(tmp_path, INTERVALS).muted(mute, active, now) is muted


INHIBIT = (
    ROOT
    + RECEIVERS
    + """
[[inhibit_rules]]
source_matchers = ["severity=critical"]
target_matchers = ["severity=~info|warning"]
equal = ["subject"]

[[inhibit_rules]]
source_matchers = ["rule=~x.*"]
target_matchers = ["rule=~.*y"]
"""
)


def test_a_source_hides_targets_with_equal_labels(tmp_path: Path) -> None:
    rules = routing(tmp_path, INHIBIT).inhibit_rules
    critical = {"severity": "critical", "subject": "a"}
    inhibitors = Inhibitors(rules, [("s", critical)])
    assert inhibitors.hiding("t", {"severity": "warning", "subject": "a"}) == "s"
    assert inhibitors.hiding("t", {"severity": "warning", "subject": "b"}) == ""
    assert inhibitors.hiding("t", critical) == ""
    assert Inhibitors(rules, []).hiding("t", {"severity": "warning", "subject": "a"}) == ""


def test_two_that_are_both_source_and_target_do_not_hide_each_other(tmp_path: Path) -> None:
    rules = routing(tmp_path, INHIBIT).inhibit_rules
    both, source = {"rule": "xy"}, {"rule": "xx"}
    assert Inhibitors(rules, [("a", both), ("b", both)]).hiding("a", both) == ""
    assert Inhibitors(rules, [("a", both)]).hiding("a", both) == ""
    assert Inhibitors(rules, [("a", both), ("c", source)]).hiding("a", both) == "c"
