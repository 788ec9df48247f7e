"""Groups in simulated time: who is told what, when, and never twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.notify.group import Group, Member
from stream.notify.grouping import Groups
from stream.notify.notification import MAX_ALERTS, Notification
from stream.notify.routing import Routing
from stream.records import Handling
from tests.fakes import NOON, alert

WAIT, INTERVAL, REPEAT = 10, 60, 600
ANOTHER_FILE = f"""
[route]
receiver = "all"
group_by = ["subject"]
group_wait = "{WAIT}s"
group_interval = "{INTERVAL}s"
repeat_interval = "{REPEAT}s"
[[receivers]]
name = "all"
type = "redis"
stream = "s"
[[receivers]]
name = "pager"
type = "redis"
stream = "p"
"""


@pytest.fixture(scope="module")
def routing(tmp_path_factory: pytest.TempPathFactory) -> Routing:
    return _routing(tmp_path_factory.mktemp("routes"))


@pytest.fixture(scope="module")
def another_routing(tmp_path_factory: pytest.TempPathFactory) -> Routing:
    file = tmp_path_factory.mktemp("other-routes") / "routes.toml"
    file.write_text(ANOTHER_FILE)
    return Routing.load(file)


def _routing(folder: Path) -> Routing:
    file = folder / "routes.toml"
    file.write_text(
        f"""
        [route]
        receiver = "all"
        group_by = ["rule"]
        group_wait = "{WAIT}s"
        group_interval = "{INTERVAL}s"
        repeat_interval = "{REPEAT}s"
        [[route.routes]]
        matchers = ["severity=critical"]
        receiver = "pager"
        continue = true
        [[route.routes]]
        matchers = ["severity=~.+"]
        [[receivers]]
        name = "all"
        type = "redis"
        stream = "s"
        [[receivers]]
        name = "pager"
        type = "redis"
        stream = "p"
        """
    )
    return Routing.load(file)


class World:
    """A notifier's groups under a clock of their own; what is sent arrives at once."""

    def __init__(self, routing: Routing) -> None:
        self.routing = routing
        self.groups = Groups()
        self.now = 1_000.0
        self.sent: list[tuple[float, Notification]] = []
        self.hidden: dict[str, str] = {}
        self.muted = False
        self.works = True

    def take(self, identity: str = "a", **changes: Any) -> None:
        found = alert(id=identity, fingerprint=identity, **changes)
        self.groups.take(found, self.routing, self.now)

    def go_by(self, routing: Routing) -> None:
        """The routing file was changed."""
        self.routing = routing
        for key in list(self.groups.groups):
            self.groups.follow(key, routing)
        for found in list(self.groups.open_alerts()):
            self.groups.take(found, routing, self.now)

    def run(self, seconds: float) -> list[Notification]:
        """Notifications of the next seconds, looking once a second."""
        before = len(self.sent)
        for _ in range(round(seconds)):
            for key in self.groups.due(self.now):
                found = self.groups.decide(
                    key, self.now, hidden=self.hidden, muted=self.muted, send_resolved=True
                )
                if found:
                    self.sent.append((self.now, found))
                    end = self.groups.delivered if self.works else self.groups.failed
                    assert end(key, found.id, self.now)
            self.now += 1
        return [one for _, one in self.sent[before:]]


def test_a_burst_is_one_notification_and_one_repeat(routing: Routing) -> None:
    world = World(routing)
    for number in range(500):
        world.take(f"a-{number}")
    assert world.run(WAIT) == []
    (first,) = world.run(REPEAT)
    assert (first.reason, first.firing, len(first.alerts)) == ("new", 500, MAX_ALERTS)
    assert first.truncated == 500 - MAX_ALERTS
    (again,) = world.run(REPEAT)
    assert (again.reason, again.firing) == ("repeat", 500)
    assert again.id != first.id


@pytest.mark.parametrize("told", [False, True])
def test_a_clock_that_is_set_back_delays_no_group_by_more_than_an_interval(
    routing: Routing, told: bool
) -> None:
    world = World(routing)
    world.take("a")
    if told:
        world.run(WAIT + 1)
        world.take("b")
    world.now -= 3_600
    (found,) = world.run(INTERVAL)
    assert (found.reason, found.firing) == ("new", 2 if told else 1)
    assert [one.reason for one in world.run(REPEAT + INTERVAL)] == ["repeat"]


@pytest.mark.parametrize("jump_s", [-3_600, 3_600])
def test_a_clock_that_jumps_tells_nothing_new_twice(routing: Routing, jump_s: float) -> None:
    world = World(routing)
    world.take("a")
    world.run(WAIT + 1)
    world.now += jump_s
    assert [one.reason for one in world.run(INTERVAL)] == (["repeat"] if jump_s > 0 else [])


def test_what_joins_a_group_waits_for_its_interval(routing: Routing) -> None:
    world = World(routing)
    world.take("a")
    world.run(WAIT + 1)
    world.take("b")
    assert world.run(INTERVAL - 2) == []
    (second,) = world.run(2)
    assert (second.reason, second.firing) == ("new", 2)


def test_a_further_event_of_a_told_alert_tells_nobody(routing: Routing) -> None:
    world = World(routing)
    world.take("a")
    world.run(WAIT + 1)
    for sequence in range(2, 8):
        world.take("a", sequence=sequence, state="updated")
        assert world.run(INTERVAL) == []


def test_the_end_is_told_once_to_those_who_were_told_the_beginning(routing: Routing) -> None:
    world = World(routing)
    world.take("a")
    world.take("b", rule="other")
    world.take("b", rule="other", sequence=2, state="resolved")
    (first,) = world.run(WAIT + 1)
    assert [one.id for one in first.alerts] == ["a"]
    world.take("a", sequence=2, state="resolved")
    (last,) = world.run(REPEAT * 2)
    assert (last.status, last.reason, last.firing, last.resolved) == ("resolved", "resolved", 0, 1)
    assert world.groups.groups == {}


def test_an_alert_that_comes_back_is_a_new_one(routing: Routing) -> None:
    world = World(routing)
    for episode in (1, 2):
        world.take(f"a-{episode}")
        (new,) = world.run(WAIT + 1)
        assert new.reason == "new"
        world.take(f"a-{episode}", sequence=2, state="resolved")
        assert [one.reason for one in world.run(INTERVAL + 1)] == ["resolved"]
    assert len({one.id for _, one in world.sent}) == 4


def test_an_acknowledged_alert_is_not_repeated_but_a_new_one_beside_it_is_told(
    routing: Routing,
) -> None:
    world = World(routing)
    world.take("a")
    world.run(WAIT + 1)
    world.take("a", sequence=2, state="acknowledged", handling=acknowledged_at("warning"))
    assert world.run(3 * REPEAT) == []
    world.take("b")
    (found,) = world.run(INTERVAL + 1)
    assert (found.reason, found.firing) == ("new", 2)


def test_a_rise_in_severity_reaches_the_route_of_the_new_one_and_the_old(routing: Routing) -> None:
    world = World(routing)
    world.take("a", severity="warning")
    world.run(WAIT + 1)
    world.take("a", severity="critical", sequence=2, state="updated")
    told = world.run(INTERVAL + 1)
    assert sorted((one.receiver, one.reason) for one in told) == [("all", "new"), ("pager", "new")]
    assert world.run(INTERVAL * 3) == []


@pytest.mark.parametrize("told_s", [0, WAIT + 1])
def test_an_acknowledgement_covers_the_severity_at_which_it_was_given(
    routing: Routing, told_s: int
) -> None:
    """Above it all whom the alert routes to are told, and again until that is acknowledged."""
    world = World(routing)
    world.take("a", severity="warning")
    world.run(told_s)
    given = acknowledged_at("warning")
    world.take("a", severity="warning", sequence=2, state="acknowledged", handling=given)
    assert world.run(INTERVAL * 2) == []
    world.take("a", severity="critical", sequence=3, state="acknowledged", handling=given)
    told = world.run(INTERVAL + 1)
    assert sorted((one.receiver, one.reason) for one in told) == [("all", "new"), ("pager", "new")]
    repeats = world.run(REPEAT + 1)
    assert sorted((one.receiver, one.reason) for one in repeats) == [
        ("all", "repeat"),
        ("pager", "repeat"),
    ]


def test_a_rise_that_was_acknowledged_as_well_is_told_to_nobody(routing: Routing) -> None:
    world = World(routing)
    world.take("a", severity="warning")
    world.run(WAIT + 1)
    for sequence, covers in enumerate(("warning", "critical"), start=2):
        handling = acknowledged_at(covers)
        world.take(
            "a", severity="critical", sequence=sequence, state="acknowledged", handling=handling
        )
    assert world.run(REPEAT * 3) == []


def test_a_group_that_is_never_quiet_gathers_nothing_that_is_over(routing: Routing) -> None:
    world = World(routing)
    for number in range(20):
        world.take(f"told-{number}")
        world.run(INTERVAL + 1)
        world.take(f"told-{number}", sequence=2, state="resolved")
        world.take(f"brief-{number}")
        world.take(f"brief-{number}", sequence=2, state="resolved")
    (key,) = world.groups.groups
    assert len(world.groups.members(key)) <= 4


def test_a_muted_group_gathers_nothing_of_which_nobody_would_hear(routing: Routing) -> None:
    world = World(routing)
    world.take("told")
    world.run(WAIT + 1)
    world.muted = True
    world.take("told", sequence=2, state="resolved")
    for number in range(20):
        world.take(f"brief-{number}")
        world.take(f"brief-{number}", sequence=2, state="resolved")
        world.run(INTERVAL)
    (key,) = world.groups.groups
    assert len(world.groups.members(key)) <= 2
    world.muted = False
    (last,) = world.run(INTERVAL * 2)
    assert [one.id for one in last.alerts] == ["told"]
    assert world.groups.groups == {}


def test_a_group_that_is_looked_after_is_looked_at_once_an_interval(routing: Routing) -> None:
    world = World(routing)
    world.take("a", state="acknowledged", handling=acknowledged_at("warning"))
    world.take("b")
    world.run(WAIT + 1)
    world.take("b", sequence=2, state="acknowledged", handling=acknowledged_at("warning"))
    world.run(REPEAT * 2)
    world.groups.drain()
    looks = 0
    for _ in range(INTERVAL * 10):
        world.run(1)
        looks += len(world.groups.drain())
    assert looks <= 11


def test_an_acknowledgement_of_a_former_version_covers_every_severity(routing: Routing) -> None:
    world = World(routing)
    world.take("a", severity="critical", state="acknowledged", handling=acknowledged_at(""))
    assert world.run(REPEAT * 3) == []


def acknowledged_at(severity: Any) -> Handling:
    return Handling(acknowledged_by="ann", acknowledged_severity=severity)


def test_what_is_hidden_is_told_when_it_no_longer_is(routing: Routing) -> None:
    world = World(routing)
    world.hidden = {"a": "silence"}
    world.take("a")
    assert world.run(INTERVAL * 2) == []
    world.hidden = {}
    (found,) = world.run(INTERVAL + 1)
    assert found.reason == "new"


def test_a_silence_over_a_told_alert_stops_repeats_and_not_its_end(routing: Routing) -> None:
    world = World(routing)
    world.take("a")
    world.run(WAIT + 1)
    world.hidden = {"a": "silence"}
    assert world.run(REPEAT * 2) == []
    world.take("a", sequence=2, state="resolved")
    assert [one.reason for one in world.run(INTERVAL + 1)] == ["resolved"]


def left_out(routing: Routing) -> tuple[World, Notification]:
    """Of two alerts that were told a is silenced; what tells the end of the other leaves it out."""
    world = World(routing)
    world.take("a")
    world.take("b")
    world.run(WAIT + 1)
    world.hidden = {"a": "silence"}
    world.take("b", sequence=2, state="resolved")
    (end_of_b,) = world.run(INTERVAL)
    return world, end_of_b


def test_what_a_notification_left_out_is_told_anew_when_it_shows_again(routing: Routing) -> None:
    """A pager takes "resolved" for the end of all of the group's alerts."""
    world, end_of_b = left_out(routing)
    assert (end_of_b.status, end_of_b.firing, end_of_b.resolved) == ("resolved", 0, 1)
    assert world.run(INTERVAL) == []
    world.hidden = {}
    (again,) = world.run(INTERVAL)
    assert (again.reason, [one.id for one in again.alerts]) == ("new", ["a"])
    assert world.run(INTERVAL) == []


def test_the_end_of_what_was_left_out_is_told_too(routing: Routing) -> None:
    world, _ = left_out(routing)
    world.take("a", sequence=2, state="resolved")
    (end_of_a,) = world.run(INTERVAL)
    assert [one.id for one in end_of_a.alerts] == ["a"]
    assert world.groups.groups == {}


def test_a_muted_route_speaks_when_the_interval_is_over(routing: Routing) -> None:
    world = World(routing)
    world.muted = True
    world.take("a")
    assert world.run(REPEAT) == []
    world.muted = False
    assert len(world.run(INTERVAL + 1)) == 1


def test_what_was_given_up_is_told_at_the_next_interval_as_things_stand_then(
    routing: Routing,
) -> None:
    world = World(routing)
    world.works = False
    world.take("a")
    (lost,) = world.run(WAIT + 1)
    world.works = True
    world.take("b")
    (found,) = world.run(INTERVAL + 1)
    assert (found.reason, found.firing) == ("new", 2)
    assert found.id != lost.id


def test_nothing_is_decided_while_a_notification_is_under_way(routing: Routing) -> None:
    world = World(routing)
    world.take("a")
    world.now += WAIT
    (key,) = world.groups.due(world.now)
    found = world.groups.decide(key, world.now, hidden={}, muted=False, send_resolved=True)
    assert found
    assert world.groups.due(world.now + 10 * REPEAT) == []
    assert not world.groups.delivered(key, "another", world.now)
    world.take("a", sequence=2, state="resolved")
    assert world.groups.delivered(key, found.id, world.now)
    assert [one.reason for one in world.run(INTERVAL + 1)] == ["resolved"]


def test_lost_transitions_end_what_is_not_open_any_more(routing: Routing) -> None:
    world = World(routing)
    world.take("a")
    world.take("b")
    world.run(WAIT + 1)
    world.groups.resolve_all_but({"b"})
    (found,) = world.run(INTERVAL + 1)
    assert [(one.id, one.state) for one in found.alerts] == [("b", "firing"), ("a", "resolved")]


AFTER = {"first_seen": NOON + timedelta(days=8), "last_seen": NOON + timedelta(days=8)}


@pytest.mark.parametrize("ended", [False, True])
def test_an_alert_that_takes_the_id_of_an_earlier_one_is_a_new_one(
    routing: Routing, ended: bool
) -> None:
    """Redis had forgotten the first one, whose end was perhaps lost, and counts from 1 again."""
    world = World(routing)
    world.take("a", sequence=5)
    world.run(WAIT + 1)
    if ended:
        world.take("a", sequence=6, state="resolved")
    world.take("a", **AFTER)
    assert [(one.reason, one.firing) for one in world.run(INTERVAL + 1)] == [("new", 1)]
    world.take("a", sequence=2, state="resolved", **AFTER)
    assert [one.reason for one in world.run(INTERVAL + 1)] == ["resolved"]


def test_the_earlier_alert_of_an_id_ends_where_the_later_one_is_not_routed(
    routing: Routing,
) -> None:
    world = World(routing)
    world.take("a", severity="critical", sequence=5)
    assert len(world.run(WAIT + 1)) == 2
    for sequence in (1, 2):
        world.take("a", severity="warning", sequence=sequence, **AFTER)
        assert [one.first_seen for one in world.groups.open_alerts()] == [AFTER["first_seen"]]
    told = world.run(INTERVAL + 1)
    assert sorted((one.receiver, one.reason) for one in told) == [
        ("all", "new"),
        ("pager", "resolved"),
    ]
    assert {one.receiver for one in world.run(REPEAT + INTERVAL)} == {"all"}


def test_what_the_earlier_alert_of_an_id_did_is_no_news_of_the_later_one(
    routing: Routing,
) -> None:
    world = World(routing)
    world.take("a", **AFTER)
    world.run(WAIT + 1)
    world.take("a", sequence=7, state="resolved")
    assert world.run(INTERVAL * 2) == []


def test_a_late_event_that_moves_the_beginning_makes_no_new_alert(routing: Routing) -> None:
    world = World(routing)
    world.take("a", **AFTER)
    world.run(WAIT + 1)
    grown = AFTER | {"first_seen": NOON}
    world.take("a", sequence=2, state="updated", **grown)
    world.take("a", **AFTER)
    assert world.run(INTERVAL * 2) == []
    world.take("a", sequence=3, state="resolved", **grown)
    assert [one.reason for one in world.run(INTERVAL + 1)] == ["resolved"]


def test_an_id_that_comes_back_while_the_earlier_alert_is_being_told_is_told_too(
    routing: Routing,
) -> None:
    world = World(routing)
    world.take("a", sequence=5)
    world.now += WAIT
    (key,) = world.groups.due(world.now)
    found = world.groups.decide(key, world.now, hidden={}, muted=False, send_resolved=True)
    assert found
    world.take("a", **AFTER)
    assert world.groups.delivered(key, found.id, world.now)
    assert [one.reason for one in world.run(INTERVAL + 1)] == ["new"]


class Book:
    """What a notifier wrote down, in bytes; another one can be made of it."""

    def __init__(self) -> None:
        self._groups: dict[str, tuple[bytes, dict[str, bytes]]] = {}

    def write(self, groups: Groups) -> None:
        for write in groups.drain():
            if write.group is None:
                self._groups.pop(write.key, None)
                continue
            _, members = self._groups.get(write.key, (b"", {}))
            members |= {name: msgspec.json.encode(one) for name, one in write.members.items()}
            kept = {name: one for name, one in members.items() if name not in write.gone}
            self._groups[write.key] = (msgspec.json.encode(write.group), kept)

    def read(self) -> Groups:
        groups = Groups()
        for content, members in self._groups.values():
            groups.restore(
                msgspec.json.decode(content, type=Group),
                {name: msgspec.json.decode(one, type=Member) for name, one in members.items()},
            )
        return groups


class Story:
    """Alerts of three subjects, one episode after another; a crash after each step if asked."""

    def __init__(self, files: Sequence[Routing], crashing: bool) -> None:
        self._files = files
        self.world = World(files[0])
        self._crashing = crashing
        self._book = Book()
        self._episodes = dict.fromkeys("abc", 1)
        self._sequences = dict.fromkeys("abc", 0)

    def step(self, action: str, name: str, value: Any) -> None:
        getattr(self, action)(name, value)
        self.crash()

    def event(self, name: str, severity: str) -> None:
        self._sequences[name] += 1
        sequence = self._sequences[name]
        self.world.take(self.id(name), sequence=sequence, severity=severity, state="updated")

    def resolve(self, name: str, _: Any) -> None:
        if self._sequences[name]:
            self.world.take(self.id(name), sequence=self._sequences[name] + 1, state="resolved")
            self._episodes[name] += 1
            self._sequences[name] = 0

    def wait(self, _: str, seconds: int) -> None:
        for _second in range(seconds):
            self.world.run(1)
            self.crash()

    def change_file(self, _: str, number: int) -> None:
        self.world.go_by(self._files[number])

    def hide(self, name: str, _: Any) -> None:
        self.world.hidden[self.id(name)] = "why"

    def show(self, name: str, _: Any) -> None:
        self.world.hidden.pop(self.id(name), None)

    def crash(self) -> None:
        if self._crashing:
            self._book.write(self.world.groups)
            self.world.groups = self._book.read()

    def id(self, name: str) -> str:
        return f"{name}-{self._episodes[name]}"


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("event"), st.sampled_from("abc"), st.sampled_from(["warning", "critical"])
        ),
        st.tuples(st.just("resolve"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 700)),
        st.tuples(st.just("change_file"), st.just(""), st.integers(0, 1)),
        st.tuples(st.just("hide"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("show"), st.sampled_from("abc"), st.just("")),
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(steps=STEPS)
def test_a_crash_at_any_moment_changes_nothing_that_is_told(
    routing: Routing, another_routing: Routing, steps: list[tuple[str, str, Any]]
) -> None:
    """The same steps, once straight and once with a notifier made anew each second."""
    told = []
    for crashing in (False, True):
        story = Story((routing, another_routing), crashing)
        for step in steps:
            story.step(*step)
        sent = story.world.sent
        told.append(sorted((at, one.id, one.reason, one.firing) for at, one in sent))
    assert told[0] == told[1]
    assert len({identity for _, identity, _, _ in told[0]}) == len(told[0])


class Reloads(World):
    """Whose routing file is another one from some moment on."""

    def __init__(self, routing: Routing, folder: Path) -> None:
        super().__init__(routing)
        self._file = folder / "routes.toml"

    def load(self, text: str) -> None:
        self._file.write_text(text)
        self.go_by(Routing.load(self._file))

    def heard(self, seconds: float) -> list[tuple[str, str, int, int]]:
        return [(one.receiver, one.reason, one.firing, one.resolved) for one in self.run(seconds)]


@pytest.fixture
def reloads(routing: Routing, tmp_path: Path) -> Reloads:
    return Reloads(routing, tmp_path)


def test_who_was_told_hears_no_second_time_of_an_alert_that_a_changed_file_groups_otherwise(
    reloads: Reloads,
) -> None:
    reloads.take("a")
    assert reloads.heard(WAIT + 1) == [("all", "new", 1, 0)]
    reloads.load(ANOTHER_FILE)
    reloads.take("a", sequence=2, state="updated")
    assert reloads.heard(REPEAT - 1) == []
    assert reloads.heard(INTERVAL) == [("all", "repeat", 1, 0)]
    assert reloads.heard(REPEAT) == [("all", "repeat", 1, 0)]


def test_what_joins_the_group_that_took_an_alert_over_is_told_with_it(reloads: Reloads) -> None:
    reloads.take("a")
    reloads.run(WAIT + 1)
    reloads.load(ANOTHER_FILE)
    reloads.take("b", rule="another")
    assert reloads.heard(INTERVAL + 1) == [("all", "new", 2, 0)]


def test_each_group_that_told_of_an_alert_tells_its_end_and_no_other_does(
    reloads: Reloads,
) -> None:
    reloads.take("a", severity="critical")
    assert reloads.heard(WAIT + 1) == [("pager", "new", 1, 0), ("all", "new", 1, 0)]
    opened = {one.group for _, one in reloads.sent}
    reloads.load(ANOTHER_FILE)
    assert {name for name, *_ in reloads.heard(REPEAT + INTERVAL)} == {"all"}
    reloads.take("a", sequence=2, severity="critical", state="resolved")
    ends = reloads.run(2 * INTERVAL)
    assert [(one.reason, one.status) for one in ends] == [("resolved", "resolved")] * 3
    # By group, as some receivers count an incident for each.
    assert opened < {one.group for one in ends}
    assert not reloads.groups.groups


def test_another_receiver_is_told_of_what_a_changed_file_leads_to_it(reloads: Reloads) -> None:
    reloads.take("a")
    reloads.run(WAIT + 1)
    reloads.load(ANOTHER_FILE.replace('receiver = "all"', 'receiver = "pager"'))
    assert reloads.heard(REPEAT) == [("pager", "new", 1, 0)]
    reloads.take("a", sequence=2, state="resolved")
    assert sorted(reloads.heard(INTERVAL + 1)) == [
        ("all", "resolved", 0, 1),
        ("pager", "resolved", 0, 1),
    ]


def test_what_was_never_told_moves_to_the_group_of_the_changed_file(reloads: Reloads) -> None:
    reloads.take("a")
    reloads.load(ANOTHER_FILE)
    assert reloads.heard(WAIT + INTERVAL) == [("all", "new", 1, 0)]
    assert len(reloads.groups.groups) == 1


def test_a_file_that_is_changed_back_leaves_things_as_they_were(reloads: Reloads) -> None:
    reloads.take("a")
    reloads.run(WAIT + 1)
    before = reloads.routing
    reloads.load(ANOTHER_FILE)
    reloads.run(INTERVAL)
    reloads.go_by(before)
    assert reloads.heard(REPEAT) == [("all", "repeat", 1, 0)]
    reloads.take("a", sequence=2, state="resolved")
    assert reloads.heard(INTERVAL + 1) == [("all", "resolved", 0, 1)]


def test_a_rise_after_the_file_was_changed_is_news(reloads: Reloads) -> None:
    reloads.take("a")
    reloads.run(WAIT + 1)
    reloads.load(ANOTHER_FILE)
    reloads.run(INTERVAL)
    reloads.take("a", sequence=2, severity="critical")
    assert reloads.heard(INTERVAL + 1) == [("all", "new", 1, 0)]


def test_an_alert_that_a_rise_leads_elsewhere_is_heard_of_no_more_where_it_was(
    reloads: Reloads,
) -> None:
    reloads.load(
        ANOTHER_FILE.replace(
            "[[receivers]]",
            """[[route.routes]]
            matchers = ["severity=critical"]
            receiver = "pager"
            [[receivers]]""",
            1,
        )
    )
    reloads.take("a")
    assert reloads.heard(WAIT + 1) == [("all", "new", 1, 0)]
    reloads.take("a", sequence=2, severity="critical")
    heard = reloads.heard(2 * REPEAT)
    assert heard[0] == ("pager", "new", 1, 0)
    assert {name for name, *_ in heard} == {"pager"}
    reloads.take("a", sequence=3, severity="critical", state="resolved")
    assert sorted(reloads.heard(INTERVAL + 1)) == [
        ("all", "resolved", 0, 1),
        ("pager", "resolved", 0, 1),
    ]
