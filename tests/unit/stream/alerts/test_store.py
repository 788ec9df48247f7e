"""Alerts in Redis: atomic, idempotent by event, one episode after another."""

from __future__ import annotations

import asyncio

import msgspec
import orjson
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from stream.alerts.lifecycle import Lifecycle
from stream.alerts.store import AlertStore
from stream.config.settings import Alerting
from stream.names import Keys
from stream.records import Alert, Scored, Severity, decode_alert, encode
from stream.rules.rule_file import Rule
from stream.rules.rule_set import Match
from tests.fakes import scored

QUIET_S = 100.0
ALERTING = Alerting(quiet_s=QUIET_S, keep_s=1_000, replay_s=500)
KEEP_OPEN_S = round(QUIET_S) + ALERTING.keep_s


def store(client: Redis) -> AlertStore:
    return AlertStore(client, Keys(), ALERTING)


def match(subject: str = "ticker:HALC", *, severity: str = "warning", name: str = "r") -> Match:
    rule = Rule(
        name=name,
        when="true",
        subject="ticker",
        severity=severity,  # type: ignore[arg-type]
        title="t",
    )
    return Match(rule, subject, 'About "HALC"\n<b>', "Bad {news} ✓")


def at(seconds: float, identity: str | None = None) -> Scored:
    return scored(id=identity or f"e{seconds}", after_s=seconds)


async def raise_one(client: Redis, event: Scored, found: Match | None = None) -> Alert:
    (alert,) = (await store(client).raise_alerts([(event, found or match())])).transitions
    assert alert is not None
    return alert


async def test_the_first_match_fires_and_the_next_ones_update(client: Redis) -> None:
    pairs = [(at(seconds), match()) for seconds in (0, 10, 20)]
    alerts = (await store(client).raise_alerts(pairs)).transitions
    assert [alert.state for alert in alerts] == ["firing", "updated", "updated"]
    assert [alert.sequence for alert in alerts] == [1, 2, 3]
    assert [alert.count for alert in alerts] == [1, 2, 3]
    assert len({alert.id for alert in alerts}) == 1
    assert alerts[-1].first_seen == at(0).time
    assert alerts[-1].last_seen == at(20).time
    assert alerts[-1].title == 'About "HALC"\n<b>'
    assert alerts[-1].signal == {}


async def test_a_redelivered_event_gets_its_first_transition_again_and_changes_nothing(
    client: Redis,
) -> None:
    first = await raise_one(client, at(0))
    second = await raise_one(client, at(5))
    before = await client.xlen(Keys().alerts_stream)
    assert await raise_one(client, at(0)) == first
    assert await raise_one(client, at(5)) == second
    assert await client.xlen(Keys().alerts_stream) == before
    assert await store(client).get(first.id) == second


async def test_silence_longer_than_quiet_s_starts_a_new_episode(client: Redis) -> None:
    first = await raise_one(client, at(0))
    same = await raise_one(client, at(QUIET_S))
    later = await raise_one(client, at(2 * QUIET_S + 0.5))
    assert same.id == first.id
    assert later.fingerprint == first.fingerprint
    assert (later.episode, later.sequence, later.state) == (2, 1, "firing")
    assert later.id != first.id


async def test_a_match_after_an_alert_was_resolved_starts_a_new_episode(client: Redis) -> None:
    first = await raise_one(client, at(0))
    await client.hset(Keys().alert(first.id), "state", "resolved")
    second = await raise_one(client, at(1))
    assert (second.episode, second.sequence, second.state) == (2, 1, "firing")


async def test_a_late_event_joins_the_present_episode_and_moves_first_seen(client: Redis) -> None:
    await raise_one(client, at(50))
    late = await raise_one(client, at(20))
    assert (late.first_seen, late.last_seen) == (at(20).time, at(50).time)
    assert late.count == 2


async def test_rules_with_an_alert_or_a_wait_are_known_by_their_subject(client: Redis) -> None:
    waits = msgspec.structs.replace(match(name="waits").rule, for_="1h")
    pairs = [(at(0), match()), (at(0), msgspec.structs.replace(match(), rule=waits))]
    found = (await store(client).raise_alerts(pairs)).transitions
    assert [bool(alert) for alert in found] == [True, False]
    assert await client.smembers(Keys().lasting("ticker:HALC")) == {b"r", b"waits"}
    assert 0 < await client.ttl(Keys().lasting("ticker:HALC")) <= KEEP_OPEN_S


async def test_verdicts_come_in_together_at_a_turn_later_than_all_before(client: Redis) -> None:
    raised = [await store(client).raise_alerts([(at(number), match())]) for number in range(3)]
    turns = [one.turn for one in raised]
    assert turns == sorted(set(turns))
    ahead = turns[-1] + 3_600_000_000
    await client.set(Keys().turn, ahead)
    assert (await store(client).raise_alerts([(at(9), match())])).turn == ahead + 1


async def test_severity_never_falls_within_an_episode(client: Redis) -> None:
    await raise_one(client, at(0), match(severity="critical"))
    assert (await raise_one(client, at(1), match(severity="info"))).severity == "critical"


async def test_evidence_is_the_latest_five_events(client: Redis) -> None:
    pairs = [(at(seconds), match()) for seconds in range(8)]
    alerts = (await store(client).raise_alerts(pairs)).transitions
    assert [one.event_id for one in alerts[-1].evidence] == ["e3", "e4", "e5", "e6", "e7"]


async def test_rules_and_subjects_have_alerts_of_their_own(client: Redis) -> None:
    pairs = [
        (at(0), match("ticker:A")),
        (at(0), match("ticker:B")),
        (at(0), match("ticker:A", name="other")),
    ]
    alerts = (await store(client).raise_alerts(pairs)).transitions
    assert len({alert.fingerprint for alert in alerts}) == 3
    assert all(alert.count == 1 for alert in alerts)


async def test_two_sources_that_use_the_same_ids_do_not_hide_each_other(client: Redis) -> None:
    news = at(0, "1")
    post = scored(id="1", source="social", origin=type(news.origin)("social", 0, 9))
    assert (await raise_one(client, news)).count == 1
    assert (await raise_one(client, post)).count == 2


async def test_hash_stream_and_open_set_agree_with_what_is_returned(client: Redis) -> None:
    alert = await raise_one(client, at(3))
    keys = Keys()
    fields = await client.hgetall(keys.alert(alert.id))
    assert fields[b"count"] == b"1"
    assert fields[b"state"] == b"firing"
    assert orjson.loads(fields[b"evidence"])[0]["event_id"] == "e3"
    ((_, entry),) = await client.xrange(keys.alerts_stream)
    assert decode_alert(entry[b"alert"]) == alert
    assert orjson.loads(entry[b"alert"]).keys() == orjson.loads(encode(alert)).keys()
    assert await client.zscore(keys.alerts_open, alert.id) == alert.last_seen.timestamp()
    assert 0 < await client.ttl(keys.alert(alert.id)) <= KEEP_OPEN_S


async def test_what_redis_remembers_is_bounded_in_time_and_length(client: Redis) -> None:
    few = AlertStore(client, Keys(), ALERTING.model_copy(update={"stream_length": 1}))
    alerts = (
        await few.raise_alerts([(at(number / 10), match()) for number in range(300)])
    ).transitions
    keys, mark = Keys(), alerts[0].fingerprint
    # Redis trims a stream by whole nodes, so the length is a goal.
    assert await client.xlen(keys.alerts_stream) < 300
    assert ALERTING.replay_s < await client.ttl(keys.fingerprint(mark)) <= KEEP_OPEN_S
    assert 0 < await client.ttl(keys.judged(mark, "news:e0.0")) <= ALERTING.replay_s


async def test_listeners_hear_every_transition(client: Redis) -> None:
    async with client.pubsub() as listener:
        await listener.subscribe(Keys().alerts_live)
        await listener.get_message(timeout=5)
        alert = await raise_one(client, at(0))
        heard = await listener.get_message(ignore_subscribe_messages=True, timeout=5)
    assert heard is not None
    assert decode_alert(heard["data"]) == alert


async def test_the_list_is_newest_first_and_drops_what_has_expired(client: Redis) -> None:
    for seconds, name in ((0, "A"), (20, "B"), (10, "C")):
        await raise_one(client, at(seconds), match(f"ticker:{name}"))
    gone = (await store(client).list_open(1))[0]
    await client.delete(Keys().alert(gone.id))
    found = await store(client).list_open(10)
    assert [alert.subject for alert in found] == ["ticker:C", "ticker:A"]
    assert await client.zcard(Keys().alerts_open) == 2


async def test_the_list_looks_past_expired_alerts_for_as_many_as_were_asked(client: Redis) -> None:
    for seconds in range(6):
        await raise_one(client, at(seconds), match(f"ticker:T{seconds}"))
    for alert in await store(client).list_open(3):
        await client.delete(Keys().alert(alert.id))
    found = await store(client).list_open(3)
    assert [alert.subject for alert in found] == ["ticker:T2", "ticker:T1", "ticker:T0"]


async def test_alerts_alike_are_found_without_a_look_at_all_of_them(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = [await raise_one(client, at(n * 2 * QUIET_S)) for n in range(3)]
    of_rule = await raise_one(client, at(1_000), match("ticker:B"))
    of_subject = await raise_one(client, at(1_010), match(name="s"))
    await raise_one(client, at(1_020), match("ticker:C", name="t"))
    ended = await raise_one(client, at(1_030), match("ticker:D"))
    await Lifecycle(client, Keys(), ALERTING).resolve(ended.id, by="ann")
    found = await store(client).list_like(same[1], 10)
    wanted = [same[2], same[0], ended, of_subject, of_rule]
    assert [one.id for one in found] == [one.id for one in wanted]
    assert [one.id for one in await store(client).list_like(same[1], 2)] == [same[2].id, same[0].id]
    monkeypatch.setattr("stream.alerts.store.LOOKED_AT", 2)
    found = await store(client).list_like(same[1], 10)
    assert [one.id for one in found] == [same[2].id, same[0].id, ended.id, of_subject.id]


async def test_the_list_has_each_alert_once_though_others_come_and_go_meanwhile(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.alerts.store.PAGE", 2)
    for seconds in range(8):
        await raise_one(client, at(seconds), match(f"ticker:T{seconds}"))
    alerts = store(client)
    read, moves = alerts._read, iter((("T7", "ends"), ("new", "comes"), ("new2", "comes")))

    async def busy(keys: list[str]) -> list[Alert | None]:
        found = await read(keys)
        for name, does in moves:
            if does == "ends":
                (over,) = [one for one in found if one and one.subject == f"ticker:{name}"]
                await Lifecycle(client, Keys(), ALERTING).resolve(over.id, by="ann")
            else:
                await raise_one(client, at(20), match(f"ticker:{name}"))
            break
        return found

    monkeypatch.setattr(alerts, "_read", busy)
    found = [alert.subject for alert in await alerts.list_open(100)]
    assert found == [f"ticker:T{number}" for number in range(7, -1, -1)]


async def test_the_open_set_does_not_fill_up_with_expired_alerts(client: Redis) -> None:
    await client.zadd(Keys().alerts_open, {f"expired-{number}": 1e12 for number in range(20)})
    await store(client).raise_alerts([(at(number / 10), match()) for number in range(500)])
    assert await client.zcard(Keys().alerts_open) == 1


async def test_an_unreachable_redis_is_for_the_caller_to_handle() -> None:
    server = FakeServer()
    async with FakeAsyncRedis(server=server) as client:
        alerts = store(client)
        await alerts.raise_alerts([(at(0), match())])
        server.connected = False
        with pytest.raises(RedisConnectionError):
            await alerts.raise_alerts([(at(1), match())])
        server.connected = True
        assert (await raise_one(client, at(1))).count == 2


async def test_a_redis_that_forgot_the_script_is_given_it_again(client: Redis) -> None:
    alerts = store(client)
    await alerts.raise_alerts([(at(0), match())])
    await client.script_flush()
    (second,) = (await alerts.raise_alerts([(at(1), match())])).transitions
    assert second.count == 2


async def test_workers_that_raise_the_same_event_at_once_count_it_once(client: Redis) -> None:
    pairs = [(at(seconds), match()) for seconds in range(20)]
    await asyncio.gather(*(store(client).raise_alerts(pairs) for _ in range(4)))
    (alert,) = await store(client).list_open(10)
    assert (alert.count, alert.sequence) == (20, 20)


SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    deliveries=st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(["A", "B"]), st.sampled_from(SEVERITIES)),
        min_size=1,
        max_size=25,
    )
)
def test_any_sequence_of_deliveries_equals_a_plain_model(
    deliveries: list[tuple[int, str, Severity]],
) -> None:
    """Events 60 s apart in event time, delivered in any order, any number of times."""

    async def run() -> None:
        async with FakeAsyncRedis() as client:
            episodes: dict[str, list[list[tuple[int, Severity]]]] = {}
            seen: dict[tuple[int, str], Alert] = {}
            for number, name, severity in deliveries:
                found = match(f"ticker:{name}", severity=severity)
                alert = await raise_one(client, at(60 * number), found)
                if (number, name) in seen:
                    assert alert == seen[number, name]
                    continue
                past = episodes.setdefault(name, [])
                if not past or 60 * number > 60 * max(past[-1])[0] + QUIET_S:
                    past.append([])
                present = past[-1]
                present.append((number, severity))
                seen[number, name] = alert
                assert alert.id == f"{alert.fingerprint}-{len(past)}"
                assert (alert.episode, alert.count) == (len(past), len(present))
                assert alert.first_seen == at(60 * min(present)[0]).time
                assert alert.last_seen == at(60 * max(present)[0]).time
                assert alert.severity == max((one for _, one in present), key=SEVERITIES.index)
                kept = [f"e{60 * one}" for one, _ in present[-5:]]
                assert [one.event_id for one in alert.evidence] == kept
            latest = {alert.id: alert for alert in seen.values()}
            assert {alert.id: alert for alert in await store(client).list_open(100)} == latest

    asyncio.run(run())
