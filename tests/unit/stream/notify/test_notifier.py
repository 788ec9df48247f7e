"""The notifier on a Redis: what it hides, what a crash leaves to the next one, who leads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

import stream.notify.delivery
import stream.notify.notifier
from stream.alerts.lifecycle import Lifecycle
from stream.alerts.matchers import parse_matcher
from stream.alerts.silence_store import SilenceStore
from stream.alerts.store import AlertStore
from stream.config.settings import Alerting
from stream.names import Keys
from stream.notify.delivery import Trouble
from stream.notify.grouping import Groups
from stream.notify.journal import JournalError
from stream.notify.notification import Notification, TryAgainError
from stream.notify.notifier import Notifier
from stream.notify.redis_journal import RedisJournal
from stream.notify.routing import Routing
from stream.records import Alert, Severity
from stream.rules.rule_set import Match, Rule
from stream.runtime.tasks import end
from tests.fakes import scored
from tests.until import until

DEADLINE_S = 20.0
WAIT_S, INTERVAL_S, REPEAT_S = 10, 60, 600
ALERTING = Alerting(flapping_episodes=3, flapping_window_s=1_000)
KEYS = Keys()

ROUTES = f"""
[route]
receiver = "one"
group_by = ["rule"]
group_wait = "{WAIT_S}s"
group_interval = "{INTERVAL_S}s"
repeat_interval = "{REPEAT_S}s"

[[route.routes]]
matchers = ["rule=two"]
receiver = "two"

[[inhibit_rules]]
source_matchers = ["severity=critical"]
target_matchers = ["severity=warning"]
equal = ["subject"]

[[receivers]]
name = "one"
type = "redis"
stream = "one"

[[receivers]]
name = "two"
type = "redis"
stream = "two"
"""


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream.notify.notifier, "TICK_S", 0.002)
    monkeypatch.setattr(stream.notify.notifier, "RENEW_S", 0.05)
    monkeypatch.setattr(stream.notify.delivery, "LAST_SEND_S", 0.05)
    monkeypatch.setattr(stream.notify.notifier, "LOOK_AT_SILENCES_S", 0.0)


class FakeSink:
    def __init__(self) -> None:
        self.got: list[Notification] = []
        self.broken = False
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, notification: Notification) -> None:
        self.got.append(notification)
        await self.gate.wait()
        if self.broken:
            raise TryAgainError("503")

    async def close(self) -> None:
        pass


class CountedJournal(RedisJournal):
    """Tells a desk of each round: the notifier notes troubles once in it, when it has decided."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.client, KEYS, ALERTING)
        self._desk = desk

    async def note_troubles(self, troubles: Mapping[str, Trouble]) -> None:
        await super().note_troubles(troubles)
        self._desk.rounds += 1


class Desk:
    """Raises alerts and runs notifiers on one Redis, under a clock that only it moves."""

    def __init__(self, client: Redis, folder: Path) -> None:
        self.client = client
        file = folder / "routes.toml"
        file.write_text(ROUTES)
        self.routing = Routing.load(file)
        self.now = time.time()
        self.one, self.two = FakeSink(), FakeSink()
        self.store = AlertStore(client, KEYS, ALERTING)
        self.lifecycle = Lifecycle(client, KEYS, ALERTING)
        self.rounds = 0
        self._events = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Notifier]:
        notifier = Notifier(
            CountedJournal(self),
            self.routing,
            {"one": self.one, "two": self.two},
            ALERTING,
            clock=lambda: self.now,
        )
        notifier.start()
        try:
            yield notifier
        finally:
            await notifier.stop()

    @asynccontextmanager
    async def killed(self) -> AsyncIterator[None]:
        """A notifier that ends as by kill -9: nothing is handed over, its lease runs out."""
        async with self.running() as notifier:
            yield
            await end(notifier._task)
            for courier in notifier._couriers.values():
                await courier.stop()
        await self.client.delete(KEYS.notify("lease"))

    async def fire(
        self, subject: str = "ticker:A", *, rule: str = "one", severity: Severity = "warning"
    ) -> Alert:
        self._events += 1
        made = Rule(name=rule, when="true", subject="ticker", severity=severity, title="t")
        event = scored(id=f"e{self._events}", after_s=self._events)
        (alert,) = (
            await self.store.raise_alerts([(event, Match(made, subject, "t", "s"))])
        ).transitions
        return alert

    async def read(self) -> None:
        """Return when the notifier has written down all there is."""
        entries = await self.client.xrevrange(KEYS.alerts_stream, count=1)

        async def done() -> bool:
            return bool(await self.client.get(KEYS.notify("position")) == entries[0][0])

        await until(done)

    async def decided(self) -> None:
        """Return when what is due at the present clock has left."""
        # The first round to end may have begun before; what the second decides leaves after it.
        last = self.rounds + 3
        await until(lambda: self.rounds >= last)

    async def noted(self, sent: int, receiver: str = "one", field: str = "sent") -> None:
        """Return when a receiver's figure has come to this."""

        async def counted() -> bool:
            figure = await self.client.hget(KEYS.notify(f"receiver:{receiver}"), field)
            return int(figure or 0) >= sent

        await until(counted)

    async def hidden(self) -> dict[str, str]:
        found = await self.client.hgetall(KEYS.notify("hidden"))
        return {name.decode(): reason.decode() for name, reason in found.items()}


@pytest.fixture
def desk(client: Redis, tmp_path: Path) -> Desk:
    return Desk(client, tmp_path)


async def test_a_burst_is_told_once_and_repeated_once(desk: Desk) -> None:
    async with desk.running():
        for number in range(60):
            await desk.fire(f"ticker:{number}")
        await desk.read()
        assert desk.one.got == []
        desk.now += WAIT_S + 1
        await desk.noted(1)
        desk.now += REPEAT_S + 1
        await desk.noted(2)
    assert [(one.reason, one.firing) for one in desk.one.got] == [("new", 60), ("repeat", 60)]


async def test_a_child_is_hidden_with_the_reason_and_told_when_the_parent_is_over(
    desk: Desk,
) -> None:
    async with desk.running():
        parent = await desk.fire(rule="two", severity="critical")
        child = await desk.fire()
        await desk.read()
        desk.now += WAIT_S + 1
        await desk.noted(1, "two")

        async def is_hidden() -> bool:
            return await desk.hidden() == {child.id: f"inhibited by alert {parent.id}"}

        await until(is_hidden)
        assert desk.one.got == []
        await desk.lifecycle.resolve(parent.id, by="ann")
        await desk.read()
        desk.now += INTERVAL_S + 1
        await desk.noted(1)
        assert await desk.hidden() == {}


async def test_a_silence_hides_counts_and_says_so_once(desk: Desk) -> None:
    silences = SilenceStore(desk.client, KEYS)
    async with desk.running() as notifier:
        early = await desk.fire()
        await desk.read()
        silence = await silences.create(
            [parse_matcher("rule=one")], author="ann", reason="planned", lasts_s=600
        )

        async def counted(number: int) -> bool:
            return [one.hidden for one in await silences.listed()] == [number]

        await until(lambda: counted(1))
        await desk.fire()
        await desk.fire("ticker:B")
        await until(lambda: counted(2))
        await desk.read()
        desk.now += WAIT_S + 1
        await until(lambda: hidden_count(desk, 2))
        assert desk.one.got == []
        history = await desk.lifecycle.history(early.id)
        assert [(line.action, line.by, line.detail) for line in history] == [
            ("silenced", "ann", silence.id)
        ]
        await silences.end(silence.id)
        # The group speaks once an interval: not in the look that still knows the silence.
        await until(lambda: not notifier._silences.ids)
        desk.now += INTERVAL_S + 1
        await desk.noted(1)
    assert [one.firing for one in desk.one.got] == [2]


@pytest.mark.parametrize("led", [True, False])
async def test_the_end_of_a_silence_is_published_also_if_nobody_led(desk: Desk, led: bool) -> None:
    silences = SilenceStore(desk.client, KEYS)
    silence = await silences.create(
        [parse_matcher("rule=one")], author="ann", reason="planned", lasts_s=600
    )
    fired = await desk.fire()

    async def actions(*wanted: str) -> bool:
        return [line.action for line in await desk.lifecycle.history(fired.id)] == [*wanted]

    if led:
        async with desk.running():
            await until(lambda: actions("silenced"))
            await silences.end(silence.id)
            await until(lambda: actions("silenced", "unsilenced"))
    else:
        async with desk.killed():
            await until(lambda: actions("silenced"))
        await silences.end(silence.id)
        async with desk.running():
            await until(lambda: actions("silenced", "unsilenced"))
    standing = await desk.store.get(fired.id)
    assert standing is not None
    assert (standing.state, standing.handling.silence) == ("updated", "")


async def test_a_stranger_in_the_stream_is_passed_over(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.client.xadd(KEYS.alerts_stream, {"notification": "{}"})
    await desk.client.xadd(KEYS.alerts_stream, {"alert": b"\xff", "change": "acknowledged"})
    await desk.fire()
    async with desk.running():
        await desk.read()
        desk.now += WAIT_S + 1
        await desk.noted(1)
    assert "2 entries of bw:alerts:stream are no transitions" in caplog.text
    since = datetime.fromtimestamp(0, UTC)
    preview = await SilenceStore(desk.client, KEYS).preview(
        [parse_matcher("rule=one")], since=since
    )
    assert (preview.alerts, preview.hidden) == (1, 1)


async def hidden_count(desk: Desk, number: int) -> bool:
    return len(await desk.hidden()) == number


async def test_flapping_is_marked_and_not_told_each_time(desk: Desk) -> None:
    async with desk.running():
        for episode in range(1, 5):
            alert = await desk.fire()
            await desk.read()
            desk.now += INTERVAL_S + 1
            if episode <= 2:
                await desk.noted(2 * episode - 1)
            else:
                await until(lambda name=alert.id: is_flapping(desk, name))
            await desk.lifecycle.resolve(alert.id, by="ann")
            await desk.read()
            desk.now += INTERVAL_S + 1
            if episode <= 2:
                await desk.noted(2 * episode)
    assert [one.reason for one in desk.one.got] == ["new", "resolved"] * 2


async def test_flapping_is_seen_where_redis_forgets_alerts_sooner(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of episodes, and with them the ids of alerts, then begin anew."""
    short = ALERTING.model_copy(update={"keep_s": 60})
    monkeypatch.setattr(f"{__name__}.ALERTING", short)
    async with desk.running():
        for _ in range(3):
            alert = await desk.fire()
            await desk.read()
            await desk.lifecycle.resolve(alert.id, by="ann")
            await desk.client.delete(KEYS.fingerprint(alert.fingerprint), KEYS.alert(alert.id))
        entries = await desk.client.xrange(KEYS.alerts_stream)
        await desk.read()
    assert [fields.get(b"change") for _, fields in entries].count(b"flapping") == 1
    lasts_s = await desk.client.ttl(KEYS.notify(f"episodes:{alert.fingerprint}"))
    assert lasts_s > short.flapping_window_s - DEADLINE_S


async def is_flapping(desk: Desk, alert_id: str) -> bool:
    return (await desk.hidden()).get(alert_id) == "flapping"


async def test_flapping_that_has_come_to_stay_is_told_after_all(desk: Desk) -> None:
    async with desk.running():
        for _ in range(2):
            await desk.lifecycle.resolve((await desk.fire()).id, by="ann")
        alert = await desk.fire()
        await desk.read()
        desk.now += INTERVAL_S
        await until(lambda: is_flapping(desk, alert.id))
        desk.now += ALERTING.flapping_window_s
        await desk.noted(1)
    (found,) = desk.one.got
    assert [(one.id, one.handling.flapping) for one in found.alerts] == [(alert.id, True)]


async def test_episodes_of_one_page_count_each_for_its_own_fingerprint(desk: Desk) -> None:
    for _ in range(2):
        for number in (1, 2):
            await desk.lifecycle.resolve((await desk.fire(f"ticker:A{number}")).id, by="ann")
    third = await desk.fire("ticker:A1")
    other = await desk.fire("ticker:B")
    async with desk.running():
        await desk.read()
        desk.now += INTERVAL_S
        await until(lambda: is_flapping(desk, third.id))
        await desk.noted(1)
    assert [one.id for sent in desk.one.got for one in sent.alerts] == [other.id]
    assert await desk.hidden() == {third.id: "flapping"}


async def test_killed_while_sending_the_next_one_sends_the_same_again(desk: Desk) -> None:
    desk.one.gate.clear()
    async with desk.killed():
        await desk.fire()
        await desk.read()
        desk.now += WAIT_S + 1
        await until(lambda: desk.one.got)
    desk.one.gate.set()
    async with desk.running():
        await desk.noted(1)
        desk.now += INTERVAL_S + 1
        await desk.decided()
    first, again = desk.one.got
    assert first == again


async def test_what_is_being_sent_at_the_end_may_arrive_and_is_not_sent_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream.notify.delivery, "LAST_SEND_S", DEADLINE_S)
    desk.one.gate.clear()
    async with desk.running():
        await desk.fire()
        await desk.read()
        desk.now += WAIT_S + 1
        await until(lambda: desk.one.got)
        asyncio.get_running_loop().call_later(0.05, desk.one.gate.set)
    async with desk.running():
        await desk.fire("ticker:B")
        await desk.read()
        desk.now += INTERVAL_S + 1
        await desk.noted(2)
    assert [(one.reason, one.firing) for one in desk.one.got] == [("new", 1), ("new", 2)]


async def test_killed_before_and_after_sending_nothing_is_lost_or_repeated(desk: Desk) -> None:
    async with desk.killed():
        await desk.fire()
        await desk.read()
    await desk.fire("ticker:B")
    async with desk.killed():
        await desk.read()
        desk.now += WAIT_S + 1
        await desk.noted(1)
    async with desk.running():
        await desk.fire("ticker:C")
        await desk.read()
        desk.now += INTERVAL_S + 1
        await desk.noted(2)
    assert [(one.reason, one.firing) for one in desk.one.got] == [("new", 2), ("new", 3)]


async def test_one_of_two_leads_and_the_other_goes_on_when_it_stops(desk: Desk) -> None:
    async with desk.running():
        async with desk.running():
            await desk.fire()
            await desk.read()
            desk.now += WAIT_S + 1
            await desk.noted(1)
        desk.now += REPEAT_S + 1
        await desk.noted(2)
    assert [one.reason for one in desk.one.got] == ["new", "repeat"]


async def test_who_lost_the_lease_writes_nothing_and_stops_telling(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk.running() as notifier:
        await desk.fire()
        await desk.read()
        await desk.client.set(KEYS.notify("lease"), "another")
        desk.now += WAIT_S + 1
        await desk.fire("ticker:B")
        await until(lambda: "another worker tells the receivers now" in caplog.messages)
        before = await desk.client.get(KEYS.notify("position"))
        entries = await desk.client.xrange(KEYS.alerts_stream)
        assert before == entries[0][0]
        assert not notifier._task.done()
    assert await desk.client.get(KEYS.notify("lease")) == b"another"
    assert desk.one.got == []


async def test_who_lost_redis_for_longer_than_the_lease_stops_sending(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then another worker may tell the receivers: two that send would send twice."""
    monkeypatch.setattr(stream.notify.notifier, "LEASE_S", 0.2)
    desk.one.gate.clear()
    async with desk.running() as notifier:
        await desk.fire()
        await desk.read()
        desk.now += WAIT_S + 1
        await until(lambda: len(desk.one.got) == 1)
        sending = notifier._couriers["one"]._task

        async def away(*_: Any) -> bool:
            raise JournalError("Redis is away")

        monkeypatch.setattr(notifier._journal, "lead", away)
        await until(sending.cancelled)
    assert len(desk.one.got) == 1


async def test_who_waits_for_a_redis_that_hangs_sends_no_longer_than_the_lease(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.one.broken = True
    async with desk.running() as notifier:
        await desk.fire()
        await desk.read()
        desk.now += WAIT_S + 1
        await until(lambda: len(desk.one.got) == 1)
        reading = asyncio.Event()

        async def hang(_: str) -> Any:
            reading.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(notifier._journal, "read", hang)
        await reading.wait()
        courier = notifier._couriers["one"]
        assert courier._may_send()
        notifier._leads_until = time.monotonic()
        assert not courier._may_send()
        await end(notifier._task)


async def test_what_hides_an_alert_is_forgotten_with_its_group(desk: Desk) -> None:
    silences = SilenceStore(desk.client, KEYS)
    await silences.create([parse_matcher("rule=one")], author="a", reason="why", lasts_s=600)
    async with desk.killed():
        alert = await desk.fire()
        await until(lambda: desk.client.exists(KEYS.notify("groups")))
        desk.now += WAIT_S + 1
        await until(lambda: hidden_count(desk, 1))
    notifier = Notifier(RedisJournal(desk.client, KEYS, ALERTING), None, {}, ALERTING)
    notifier.start()
    await until(lambda: hidden_count(desk, 0))
    await notifier.stop()
    assert await desk.client.hget(KEYS.notify("hidden"), alert.id) is None


async def test_a_dead_receiver_holds_up_no_other(desk: Desk) -> None:
    desk.one.gate.clear()
    async with desk.running():
        await desk.fire()
        await desk.fire(rule="two")
        await desk.read()
        desk.now += WAIT_S + 1
        await desk.noted(1, "two")
        await until(lambda: desk.one.got)
        desk.now += REPEAT_S + 1
        await desk.noted(2, "two")
    assert len(desk.one.got) == 1


async def test_what_was_given_up_is_counted_with_its_error(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def said(field: str) -> bool:
        return bool(await desk.client.hexists(KEYS.receiver("one"), field))

    async def forgotten(field: str) -> bool:
        return not await said(field)

    desk.one.broken = True
    monkeypatch.setattr("stream.notify.notifier.seconds", lambda _: 0.01)
    async with desk.running():
        await desk.fire()
        await desk.read()
        desk.now += WAIT_S + 1
        await desk.noted(1, field="failed")
        error = await desk.client.hget(KEYS.notify("receiver:one"), "error")
        assert error.startswith(b"503")
        await until(lambda: said("trouble"))
        desk.one.broken = False
        desk.now += INTERVAL_S + 1
        await desk.noted(1)
        await until(lambda: forgotten("trouble"))
    assert await desk.client.smembers(KEYS.receivers) == {b"one", b"two"}


async def test_transitions_that_the_stream_dropped_are_made_up_for(desk: Desk) -> None:
    async with desk.killed():
        over = await desk.fire("ticker:A")
        await desk.fire("ticker:B")
        await desk.read()
        desk.now += WAIT_S + 1
        await desk.noted(1)
    await desk.lifecycle.resolve(over.id, by="ann")
    await tell_after_lost_transitions(desk)
    states = {one.subject: one.state for one in desk.one.got[-1].alerts}
    assert states == {"ticker:A": "resolved", "ticker:B": "firing", "ticker:C": "firing"}


async def tell_after_lost_transitions(desk: Desk) -> None:
    """One more alert, before which nothing of the stream is left."""
    await desk.fire("ticker:C")
    await desk.client.xtrim(KEYS.alerts_stream, maxlen=1, approximate=False)
    async with desk.running():
        await desk.read()
        desk.now += INTERVAL_S + 1
        await desk.noted(2)


async def test_a_group_may_lose_more_alerts_at_once_than_a_script_can_unpack(desk: Desk) -> None:
    journal = RedisJournal(desk.client, KEYS, ALERTING)
    assert await journal.lead()
    groups = Groups()
    groups.take(await desk.fire(), desk.routing, desk.now)
    (key,) = groups.groups
    names = [f"{number:016x}-1" for number in range(9_000)]
    (write,) = groups.drain()
    members = dict.fromkeys(names, *write.members.values())
    assert await journal.commit("1-0", [msgspec.structs.replace(write, members=members)], {})
    over = msgspec.structs.replace(write, gone=frozenset(names))
    assert await journal.commit("1-1", [over], {})
    assert len((await journal.load()).groups.members(key)) == 1


async def test_all_open_alerts_make_up_for_lost_transitions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also more of them than transitions are kept."""
    monkeypatch.setattr(f"{__name__}.ALERTING", ALERTING.model_copy(update={"stream_length": 1}))
    async with desk.killed():
        for number in range(12):
            await desk.fire(f"ticker:T{number}")
        await desk.read()
        desk.now += WAIT_S + 1
        await desk.noted(1)
    await tell_after_lost_transitions(desk)
    assert [(one.firing, one.resolved) for one in desk.one.got] == [(12, 0), (13, 0)]


async def test_what_can_not_be_counted_is_sent_again_where_redis_forgets_that_it_arrived(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover to a copy of Redis that lacks the last writes."""
    async with desk.running() as notifier:
        journal = notifier._journal
        commit, before = journal.commit, {}

        async def remember(*arguments: Any) -> bool:
            if notifier._outcomes and not before:
                for key in await desk.client.keys(KEYS.notify("group*")):
                    before[key] = await desk.client.dump(key)
            return await commit(*arguments)

        async def fail_over(*_: Any, **__: Any) -> None:
            monkeypatch.undo()
            for key, value in before.items():
                await desk.client.restore(key, 0, value, replace=True)
            raise JournalError("Redis is away")

        desk.one.gate.clear()
        desk.two.gate.clear()
        await desk.fire()
        await desk.fire(rule="two")
        await desk.read()
        desk.now += WAIT_S + 1
        await until(lambda: desk.one.got and desk.two.got)
        monkeypatch.setattr(journal, "commit", remember)
        monkeypatch.setattr(journal, "count", fail_over)
        desk.one.gate.set()
        desk.two.gate.set()
        await desk.noted(1)
        await desk.noted(1, "two")
    for sink in (desk.one, desk.two):
        assert len({one.id for one in sink.got}) == 1


async def test_an_alert_that_redis_has_lost_is_let_go_of_and_its_end_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream.notify.notifier, "LOOK_FOR_GONE_S", 0.0)
    async with desk.running():
        gone = await desk.fire("ticker:A")
        await desk.fire("ticker:B")
        await desk.read()
        desk.now += WAIT_S + 1
        await desk.noted(1)
        await desk.client.delete(KEYS.alert(gone.id))

        async def noticed() -> bool:
            (group,) = await desk.client.smembers(KEYS.notify("groups"))
            member = await desk.client.hget(KEYS.notify(f"group:{group.decode()}"), gone.id)
            return b'"resolved"' in member

        await until(noticed)
        desk.now += INTERVAL_S + 1
        await desk.noted(2)
    states = {one.subject: one.state for one in desk.one.got[-1].alerts}
    assert states == {"ticker:A": "resolved", "ticker:B": "firing"}


async def test_without_routes_silences_still_count(desk: Desk) -> None:
    silences = SilenceStore(desk.client, KEYS)
    await silences.create([parse_matcher("rule=one")], author="a", reason="why", lasts_s=600)
    await desk.fire()
    notifier = Notifier(RedisJournal(desk.client, KEYS, ALERTING), None, {}, ALERTING)
    notifier.start()

    async def counted() -> bool:
        return [one.hidden for one in await silences.listed()] == [1]

    await until(counted)
    await notifier.stop()
