"""What happens to an alert after it fired: each change once, and none against the lifecycle."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from stream.alerts.lifecycle import MAX_COMMENT_CHARS, Lifecycle, LifecycleError
from stream.alerts.matchers import parse_matcher
from stream.alerts.silence_store import SilenceStore
from stream.alerts.store import AlertStore
from stream.config.settings import Alerting
from stream.names import Keys
from stream.records import Alert, Severity, decode_alert, utc_now
from stream.rules.rule_set import Match, Rule
from tests.fakes import NOON, pass_time, scored

QUIET_S = 100.0
PAST_S = QUIET_S + 1
ALERTING = Alerting(quiet_s=QUIET_S, keep_s=1_000, replay_s=500)


def desk(client: Redis) -> Lifecycle:
    return Lifecycle(client, Keys(), ALERTING)


def store(client: Redis) -> AlertStore:
    return AlertStore(client, Keys(), ALERTING)


async def fire(
    client: Redis,
    after_s: float = 0,
    *,
    subject: str = "ticker:A",
    rule: str = "r",
    severity: Severity = "warning",
    **fields: str,
) -> Alert:
    made = Rule(name=rule, when="true", subject="ticker", severity=severity, title="t", **fields)
    event = scored(id=f"e{after_s}", after_s=after_s)
    found = Match(made, subject, 'About "A"\n<b> ✓', "s")
    (alert,) = (await store(client).raise_alerts([(event, found)])).transitions
    return alert


async def stream(client: Redis) -> list[Alert]:
    entries = await client.xrange(Keys().alerts_stream)
    return [decode_alert(fields[b"alert"]) for _, fields in entries]


async def test_each_change_is_a_transition_of_the_whole_alert(client: Redis) -> None:
    fired = await fire(client)
    lifecycle = desk(client)
    acknowledged = await lifecycle.acknowledge(fired.id, by="ann", comment="on it")
    assigned = await lifecycle.assign(fired.id, to="bob", by="ann")
    commented = await lifecycle.comment(fired.id, 'sees "it" \\ too ✓', by="bob")
    resolved = await lifecycle.resolve(fired.id, by="bob", comment="done")
    changes = [acknowledged, assigned, commented, resolved]
    assert all(change.changed for change in changes)
    assert [change.alert.sequence for change in changes] == [2, 3, 4, 5]
    states = [change.alert.state for change in changes]
    assert states == ["acknowledged", "acknowledged", "acknowledged", "resolved"]
    last = resolved.alert
    assert (last.title, last.evidence, last.count) == (fired.title, fired.evidence, 1)
    assert [change.alert.ended_at for change in changes[:3]] == [None] * 3
    assert (last.fired_at, last.ended_at) == (fired.fired_at, last.handling.at)
    assert (last.handling.acknowledged_by, last.handling.assignee) == ("ann", "bob")
    assert await stream(client) == [fired, *(change.alert for change in changes)]
    assert await store(client).get(fired.id) == last
    assert await store(client).list_open(10) == []
    history = await lifecycle.history(fired.id)
    assert [(line.action, line.by, line.comment, line.detail) for line in history] == [
        ("acknowledged", "ann", "on it", ""),
        ("assigned", "ann", "", "bob"),
        ("commented", "bob", 'sees "it" \\ too ✓', ""),
        ("resolved", "bob", "done", ""),
    ]
    assert 0 < await client.ttl(Keys().history(fired.id)) <= ALERTING.keep_s


async def test_repeating_a_change_changes_nothing(client: Redis) -> None:
    fired = await fire(client)
    lifecycle = desk(client)
    for _ in range(2):
        done = await lifecycle.acknowledge(fired.id, by="ann")
        assigned = await lifecycle.assign(fired.id, to="bob", by="ann")
        said = await lifecycle.comment(fired.id, "x", by="ann")
    assert not any(change.changed for change in (done, assigned, said))
    assert done.alert == await store(client).get(fired.id)
    assert len(await stream(client)) == 4
    await lifecycle.resolve(fired.id, by="ann")
    assert not (await lifecycle.resolve(fired.id, by="bob")).changed


async def test_a_comment_on_what_is_so_already_is_kept_once_and_changes_nothing_else(
    client: Redis,
) -> None:
    fired = await fire(client)
    lifecycle = desk(client)
    await lifecycle.acknowledge(fired.id, by="ann", comment="on it")
    await lifecycle.assign(fired.id, to="bob", by="ann")
    for _ in range(2):
        await lifecycle.acknowledge(fired.id, by="zoe", comment="me too")
    again = await lifecycle.assign(fired.id, to="bob", by="zoe", comment="it is his")
    assert again.changed
    assert (again.alert.state, again.alert.handling.action) == ("acknowledged", "commented")
    assert (again.alert.handling.acknowledged_by, again.alert.handling.assignee) == ("ann", "bob")
    await lifecycle.resolve(fired.id, by="ann")
    for _ in range(2):
        late = await lifecycle.resolve(fired.id, by="bob", comment="false alarm")
    assert late.alert.state == "resolved"
    assert [(one.action, one.by, one.comment) for one in await lifecycle.history(fired.id)] == [
        ("acknowledged", "ann", "on it"),
        ("assigned", "ann", ""),
        ("commented", "zoe", "me too"),
        ("commented", "zoe", "it is his"),
        ("resolved", "ann", ""),
        ("commented", "bob", "false alarm"),
    ]
    assert {one.detail for one in await lifecycle.history(fired.id)} == {"", "bob"}
    with pytest.raises(LifecycleError, match="it is resolved"):
        await lifecycle.acknowledge(fired.id, by="ann", comment="too late")


async def test_the_history_of_an_alert_is_kept_as_long_as_the_alert(client: Redis) -> None:
    fired = await fire(client)
    await desk(client).acknowledge(fired.id, by="ann")
    await client.expire(Keys().history(fired.id), 5)
    assert (await fire(client, 10)).id == fired.id
    assert await client.ttl(Keys().history(fired.id)) > ALERTING.keep_s


async def test_a_word_on_an_earlier_episode_does_not_end_the_present_one(client: Redis) -> None:
    first = await fire(client)
    await desk(client).resolve(first.id, by="ann")
    second = await fire(client, 10, quiet="30d")
    assert (second.episode, second.state) == (2, "firing")
    await desk(client).comment(first.id, "a false alarm", by="ann")
    present = await client.ttl(Keys().fingerprint(first.fingerprint))
    assert present >= await client.ttl(Keys().alert(second.id)) - 1


async def test_a_resolved_alert_takes_comments_and_nothing_else(client: Redis) -> None:
    fired = await fire(client)
    lifecycle = desk(client)
    await lifecycle.resolve(fired.id, by="ann")
    with pytest.raises(LifecycleError, match="it is resolved"):
        await lifecycle.acknowledge(fired.id, by="ann")
    with pytest.raises(LifecycleError, match="it is resolved"):
        await lifecycle.assign(fired.id, to="bob", by="ann")
    change = await lifecycle.comment(fired.id, "was a false alarm", by="ann")
    assert (change.alert.state, change.alert.sequence) == ("resolved", 3)


async def test_an_unknown_alert_and_an_endless_comment_are_refused(client: Redis) -> None:
    with pytest.raises(LifecycleError, match="not in Redis"):
        await desk(client).acknowledge("no-such-1", by="ann")
    fired = await fire(client)
    with pytest.raises(LifecycleError, match="longer than"):
        await desk(client).comment(fired.id, "x" * (MAX_COMMENT_CHARS + 1), by="ann")
    assert await client.keys("bw:alert:no-such*") == []


async def test_events_after_an_acknowledgement_keep_it_and_what_people_said(client: Redis) -> None:
    fired = await fire(client)
    await desk(client).assign(fired.id, to="bob", by="ann")
    assert (await fire(client, 1)).state == "updated"
    await desk(client).acknowledge(fired.id, by="ann")
    again = await fire(client, 2)
    assert (again.id, again.state, again.count) == (fired.id, "acknowledged", 3)
    assert (again.handling.acknowledged_by, again.handling.assignee) == ("ann", "bob")
    assert await store(client).get(fired.id) == again


async def test_an_acknowledgement_says_which_severity_it_covers_and_can_be_given_above_it(
    client: Redis,
) -> None:
    fired = await fire(client)
    first = await desk(client).acknowledge(fired.id, by="ann")
    risen = await fire(client, 1, severity="critical")
    again = await desk(client).acknowledge(fired.id, by="bob")
    said = [one.handling for one in (first.alert, risen, again.alert)]
    assert [(one.acknowledged_by, one.acknowledged_severity) for one in said] == [
        ("ann", "warning"),
        ("ann", "warning"),
        ("bob", "critical"),
    ]
    assert not (await desk(client).acknowledge(fired.id, by="ann")).changed


async def test_a_new_episode_begins_untouched(client: Redis) -> None:
    fired = await fire(client)
    await desk(client).acknowledge(fired.id, by="ann")
    await desk(client).resolve(fired.id, by="ann")
    again = await fire(client, 1)
    assert (again.episode, again.state, again.handling.acknowledged_by) == (2, "firing", "")


async def test_a_silence_is_said_once_and_counted_and_ends_nothing(client: Redis) -> None:
    fired = await fire(client)
    silences = SilenceStore(client, Keys())
    silence = await silences.create(
        [parse_matcher("rule=r")], author="ann", reason="planned", lasts_s=60
    )
    lifecycle = desk(client)
    assert await lifecycle.silence(fired.id, silence.id, by="ann", reason="planned")
    assert not await lifecycle.silence(fired.id, silence.id, by="ann", reason="planned")
    said = (await stream(client))[-1]
    assert (said.state, said.sequence, said.handling.silence) == ("silenced", 2, silence.id)
    standing = await store(client).get(fired.id)
    assert standing is not None
    assert (standing.state, standing.sequence) == ("firing", 2)
    assert [one.hidden for one in await silences.listed()] == [1]
    assert (await fire(client, 1)).state == "updated"
    await silences.end(silence.id)
    other = await fire(client, 2, subject="ticker:B")
    assert not await lifecycle.silence(other.id, silence.id, by="ann", reason="planned")
    assert not await client.exists(Keys().silence(silence.id))


async def test_flapping_is_marked_once(client: Redis) -> None:
    fired = await fire(client)
    assert await desk(client).mark_flapping(fired.id, "4 episodes in 3600 s")
    assert not await desk(client).mark_flapping(fired.id, "5 episodes in 3600 s")
    assert (await fire(client, 1)).handling.flapping


async def test_quiet_ends_an_alert_once_whoever_looks(client: Redis) -> None:
    await fire(client)
    await pass_time(client, past_s=PAST_S)
    found = await asyncio.gather(*(desk(client).resolve_quiet() for _ in range(4)))
    assert sum(found) == 1
    transitions = await stream(client)
    assert [(one.state, one.sequence) for one in transitions] == [("firing", 1), ("resolved", 2)]
    assert transitions[-1].handling.action == "expired"
    assert await store(client).list_open(10) == []


async def test_a_rules_own_quiet_ends_its_alerts_sooner_or_later(client: Redis) -> None:
    """All are a minute past half the usual quiet, by event time and by the clock of Redis."""
    assert (utc_now() - NOON).total_seconds() > QUIET_S / 2
    for name, quiet in (("A", "50s"), ("B", ""), ("C", "5m")):
        await fire(client, subject=f"ticker:{name}", quiet=quiet)
    for past_s, left in ((QUIET_S / 2 + 1, ["B", "C"]), (QUIET_S / 2, ["C"]), (QUIET_S * 2, [])):
        await pass_time(client, past_s=past_s)
        assert await desk(client).resolve_quiet() == 1
        still = await store(client).list_open(10)
        assert sorted(one.subject for one in still) == [f"ticker:{name}" for name in left]
    said = {one.subject: one.handling.comment for one in await stream(client)}
    assert said == {
        "ticker:A": "no event for 50 s",
        "ticker:B": "no event for 100 s",
        "ticker:C": "no event for 300 s",
    }
    assert await client.zcard(Keys().alerts_quiet) == 0


@pytest.mark.parametrize("touched", [False, True])
async def test_an_alert_whose_quiet_is_longer_than_keep_lives_until_quiet_ends_it(
    client: Redis, touched: bool
) -> None:
    quiet_s = 3 * ALERTING.keep_s
    fired = await fire(client, quiet=f"{quiet_s}s")
    await fire(client, rule="shorter")  # of the same subject
    if touched:
        await desk(client).comment(fired.id, "looks into it", by="ann")
    keys = Keys()
    for key in (keys.fingerprint(fired.fingerprint), keys.lasting("ticker:A")):
        assert await client.ttl(key) > quiet_s
    await pass_time(client, past_s=quiet_s + 1)
    assert await desk(client).resolve_quiet() == 1
    assert (await stream(client))[-1].handling.action == "expired"
    for key in (keys.alert(fired.id), keys.history(fired.id)):
        assert 0 < await client.ttl(key) <= ALERTING.keep_s


@pytest.mark.parametrize(("cooldown", "begins"), [("", True), ("1m", False)])
async def test_a_late_match_from_within_the_quiet_time_is_no_part_of_what_quiet_ended(
    client: Redis, cooldown: str, begins: bool
) -> None:
    await fire(client, 10, cooldown=cooldown)
    await pass_time(client, past_s=PAST_S)
    assert await desk(client).resolve_quiet() == 1
    assert await fire(client, 5, cooldown=cooldown) is None
    assert bool(await fire(client, 10 + QUIET_S / 2, cooldown=cooldown)) is begins


async def test_a_change_keeps_the_fingerprint_as_long_as_its_alert(client: Redis) -> None:
    fired = await fire(client)
    await client.pexpire(Keys().fingerprint(fired.fingerprint), 5_000)
    await desk(client).comment(fired.id, "looks into it", by="ann")
    assert await client.ttl(Keys().fingerprint(fired.fingerprint)) > 900


async def test_an_alert_of_a_forgotten_fingerprint_begins_anew(client: Redis) -> None:
    fired = await fire(client)
    await desk(client).acknowledge(fired.id, by="ann")
    await client.delete(Keys().fingerprint(fired.fingerprint))
    again = await fire(client, 1)
    assert (again.id, again.sequence, again.handling.acknowledged_by) == (fired.id, 1, "")
    assert await store(client).get(again.id) == again


async def test_the_end_of_a_silence_is_said_once_and_shows_the_alert_as_it_is(
    client: Redis,
) -> None:
    fired = await fire(client)
    lifecycle = desk(client)
    await lifecycle.acknowledge(fired.id, by="ann")
    silence = await SilenceStore(client, Keys()).create(
        [parse_matcher("rule=r")], author="ann", reason="planned", lasts_s=60
    )
    assert not await lifecycle.unsilence(fired.id, silence.id)
    assert await lifecycle.silence(fired.id, silence.id, by="ann", reason="planned")
    assert not await lifecycle.unsilence(fired.id, "another")
    assert await lifecycle.unsilence(fired.id, silence.id)
    assert not await lifecycle.unsilence(fired.id, silence.id)
    last = (await stream(client))[-1]
    assert (last.state, last.handling.action, last.handling.silence) == (
        "acknowledged",
        "unsilenced",
        "",
    )
    assert await store(client).get(fired.id) == last
    assert (await lifecycle.history(fired.id))[-1].comment == f"silence {silence.id} is over"


async def test_neither_a_replay_nor_a_future_event_ends_by_quiet(client: Redis) -> None:
    """NOON lies in the past for the test's clock: old in event time, new by the clock."""
    assert timedelta(seconds=QUIET_S) < utc_now() - NOON
    await fire(client)
    assert await desk(client).resolve_quiet() == 0
    ahead = (utc_now() - NOON).total_seconds() + 1_000
    await fire(client, ahead, subject="ticker:B")
    await pass_time(client, past_s=PAST_S)
    assert await desk(client).resolve_quiet() == 1
    (left,) = await store(client).list_open(10)
    assert left.subject == "ticker:B"


@pytest.mark.redis
async def test_a_worker_whose_clock_is_wrong_neither_ends_nor_keeps_an_alert(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock that counts is Redis's, wherever an alert was raised and whoever sweeps."""
    right = time.time
    async with Redis.from_url(redis_url) as client:
        for ahead_s in (-2 * QUIET_S, 2 * QUIET_S):
            monkeypatch.setattr(time, "time", lambda ahead_s=ahead_s: right() + ahead_s)
            await fire(client, subject=f"ticker:{ahead_s}")
            assert await desk(client).resolve_quiet() == 0
        monkeypatch.undo()
        assert await desk(client).resolve_quiet() == 0
        await pass_time(client, past_s=PAST_S)
        assert await desk(client).resolve_quiet() == 2


async def test_the_sweep_sees_past_alerts_that_stay_and_drops_dead_ids(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.alerts.lifecycle.SWEEP_ALERTS", 2)
    fired = [await fire(client, number, subject=f"ticker:{number}") for number in range(6)]
    await pass_time(client, *(alert.id for alert in fired[4:]), past_s=PAST_S)
    await client.delete(Keys().alert(fired[3].id))
    assert await desk(client).resolve_quiet() == 2
    assert await client.zcard(Keys().alerts_open) == 3


ACTIONS = ("acknowledge", "assign", "comment", "resolve", "fire", "expire")


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=12))
def test_the_stream_and_the_hash_agree_after_any_sequence_of_changes(actions: list[str]) -> None:
    async def run() -> None:
        from fakeredis import FakeAsyncRedis  # noqa: PLC0415 - a server for each example

        async with FakeAsyncRedis() as client:
            lifecycle = desk(client)
            alert = await fire(client)
            for number, action in enumerate(actions, 1):
                over = (await stream(client))[-1].state == "resolved"
                if action == "fire":
                    alert = await fire(client, number)
                    assert (alert.sequence == 1) is over
                elif action == "expire":
                    await pass_time(client, past_s=PAST_S)
                    await lifecycle.resolve_quiet()
                else:
                    try:
                        await getattr(lifecycle, action)(
                            alert.id,
                            **({"to": "b"} if action == "assign" else {}),
                            **({"text": f"{number}"} if action == "comment" else {}),
                            by="a",
                        )
                    except LifecycleError:
                        assert over
                        assert action in {"acknowledge", "assign"}
            transitions = await stream(client)
            last = transitions[-1]
            assert await store(client).get(alert.id) == last
            open_ids = [one.id for one in await store(client).list_open(10)]
            assert open_ids == ([] if last.state == "resolved" else [alert.id])
            ours = [one.sequence for one in transitions if one.id == alert.id]
            assert ours == list(range(1, len(ours) + 1))
            history = await lifecycle.history(alert.id)
            assert all(isinstance(line.at, datetime) for line in history)

    asyncio.run(run())
