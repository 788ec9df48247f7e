"""Silences: what they hide, what they would have hidden, and what they must not hide."""

from __future__ import annotations

from datetime import timedelta

import pytest
from redis.asyncio import Redis

from stream.alerts.matchers import labels_of, parse_matcher
from stream.alerts.silence_store import SilenceStore
from stream.alerts.silences import ActiveSilences, Silence, SilenceError
from stream.names import Keys
from stream.records import encode, utc_now
from tests.fakes import NOON, alert


def silence(name: str, *matchers: str, minutes: int = 5, created: int = 0) -> Silence:
    return Silence(
        id=name,
        matchers=matchers,
        author="ann",
        reason="",
        created=NOON + timedelta(seconds=created),
        expiry=NOON + timedelta(minutes=minutes),
    )


def test_all_matchers_must_hold_and_the_oldest_silence_hides() -> None:
    active = ActiveSilences(
        [
            silence("later", "rule=r", created=2),
            silence("narrow", "rule=r", "severity=info"),
            silence("first", "rule=r", created=1),
        ]
    )
    hiding = active.hiding({"rule": "r", "severity": "critical"}, NOON)
    assert hiding is not None
    assert hiding.id == "first"
    assert active.hiding({"rule": "other"}, NOON) is None


def test_a_silence_that_is_over_hides_nothing() -> None:
    active = ActiveSilences([silence("s", "rule=r")])
    assert active.hiding({"rule": "r"}, NOON + timedelta(minutes=4))
    assert active.hiding({"rule": "r"}, NOON + timedelta(minutes=5)) is None


def test_what_redis_still_keeps_hides_whatever_a_worker_takes_the_time_for() -> None:
    assert ActiveSilences([silence("s", "rule=r")]).hiding({"rule": "r"})


async def test_a_silence_is_kept_with_its_ttl_until_it_is_ended(client: Redis) -> None:
    store = SilenceStore(client, Keys())
    made = await store.create(
        [parse_matcher('subject=~ticker:.*"x"')], author="ann", reason="why", lasts_s=60
    )
    assert await store.listed() == [made]
    assert 0 < await client.ttl(Keys().silence(made.id)) <= 60
    assert await store.end(made.id) == made
    assert await store.listed() == []
    with pytest.raises(SilenceError, match="not in force"):
        await store.end(made.id)


async def test_a_silence_to_come_hides_nothing_before_redis_has_reached_its_start(
    client: Redis,
) -> None:
    store = SilenceStore(client, Keys())
    starts = utc_now() + timedelta(hours=2)
    made = await store.create(
        [parse_matcher("rule=r")], author="ann", reason="why", lasts_s=60, starts=starts
    )
    assert (made.starts, made.expiry) == (starts, starts + timedelta(seconds=60))
    assert await store.listed() == [made]
    assert made.to_come
    assert ActiveSilences([made]).hiding({"rule": "r"}) is None
    assert not ActiveSilences([made]).ids
    # Redis counts down to the end, so it is the one who knows what time it is.
    assert await client.pttl(Keys().silence(made.id)) > 7_200_000
    await client.pexpire(Keys().silence(made.id), 60_000)
    (begun,) = await store.listed()
    assert not begun.to_come
    assert ActiveSilences([begun]).hiding({"rule": "r"}) == begun
    assert await store.end(made.id) == begun


@pytest.mark.parametrize("days", [-1, 367])
async def test_a_silence_starts_neither_in_the_past_nor_when_nobody_remembers_it(
    client: Redis, days: int
) -> None:
    store = SilenceStore(client, Keys())
    with pytest.raises(SilenceError, match="starts later than now and within 366 days"):
        await store.create(
            [parse_matcher("rule=r")],
            author="a",
            reason="why",
            lasts_s=60,
            starts=utc_now() + timedelta(days=days),
        )
    assert await store.listed() == []


async def test_an_expired_silence_leaves_the_list(client: Redis) -> None:
    store = SilenceStore(client, Keys())
    made = await store.create([parse_matcher("rule=r")], author="a", reason="why", lasts_s=60)
    await client.delete(Keys().silence(made.id))
    assert await store.listed() == []
    assert await client.zcard(Keys().silences) == 0


@pytest.mark.parametrize(
    "matchers",
    [
        ["rule!=x"],
        ["rule=~.*"],
        ["team="],
        ["subject=~.+"],
        ["severity=~warning|critical|info"],
        ["severity=~.*i.*"],
        ["rule=~.+"],
        ["rule=~[a-z0-9-]+"],
        ["subject=~.*:.*"],
        ["subject_kind=~ticker|sector|customer|topic|source|event"],
        ["rule!=x", "severity=~[a-z]+", "team=~.*"],
    ],
)
async def test_a_silence_that_hides_whatever_comes_is_refused(
    client: Redis, matchers: list[str]
) -> None:
    store = SilenceStore(client, Keys())
    with pytest.raises(SilenceError, match="would hide every alert"):
        await store.create(
            [parse_matcher(text) for text in matchers], author="a", reason="why", lasts_s=60
        )


@pytest.mark.parametrize(
    "matchers",
    [
        ["severity=~warning|info"],
        ["severity!=critical"],
        ["subject=~ticker:.*"],
        ["rule=~fraud-.*"],
        ["rule=~.+", "severity=info"],
        ["team=~.+"],
    ],
)
async def test_a_silence_that_leaves_some_alerts_is_made(
    client: Redis, matchers: list[str]
) -> None:
    store = SilenceStore(client, Keys())
    assert await store.create(
        [parse_matcher(text) for text in matchers], author="a", reason="why", lasts_s=60
    )


def test_a_silence_kept_with_a_severity_that_is_none_hides_nothing_and_stops_nobody() -> None:
    active = ActiveSilences([silence("s", "severity=criticl")])
    assert active.hiding({"severity": "critical"}) is None


async def test_a_silence_without_a_reason_is_refused(client: Redis) -> None:
    store = SilenceStore(client, Keys())
    with pytest.raises(SilenceError, match="needs a reason"):
        await store.create([parse_matcher("rule=r")], author="a", reason=" ", lasts_s=60)
    assert await store.listed() == []


async def test_the_preview_counts_alerts_of_the_last_hour_once_each(client: Redis) -> None:
    now = utc_now()
    stream = Keys().alerts_stream
    for ago_s, identity, rule in (
        (7_000, "old-1", "r"),
        (300, "a-1", "r"),
        (200, "a-1", "r"),
        (100, "b-1", "other"),
        (50, "c-1", "r"),
    ):
        at = round((now.timestamp() - ago_s) * 1000)
        content = encode(alert(id=identity, rule=rule))
        await client.xadd(stream, {"alert": content}, id=f"{at}-0")
    store = SilenceStore(client, Keys())
    since = now - timedelta(hours=1)
    seen = await store.preview([parse_matcher("rule=r")], since=since)
    assert (seen.hidden, seen.alerts, seen.complete) == (2, 3, True)
    assert [one.id for one in seen.examples] == ["a-1", "c-1"]


def test_own_labels_go_before_those_of_the_rule() -> None:
    labels = labels_of(alert(rule="r", labels={"rule": "fake", "team": "risk"}))
    assert labels == {
        "rule": "r",
        "severity": "warning",
        "subject": "ticker:HALC",
        "subject_kind": "ticker",
        "team": "risk",
    }
