"""Windows in Redis: the arithmetic of signals.py, atomic, each event once."""

from __future__ import annotations

import asyncio
import struct
import time
from copy import deepcopy
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from redis.asyncio import Redis

from stream.config.settings import Model, Settings, Worker
from stream.config.signals import Signals
from stream.names import Keys
from stream.records import Origin, Scored, Subject
from stream.signals.memory import SubjectWindows
from stream.signals.packed import Fold
from stream.signals.signal_store import SignalStore
from stream.signals.windows import Windows, time_us
from stream.worker.app import WORK_REMEMBERED
from tests.fakes import scored, scores, sums

SETTINGS = Signals(max_late_s=20_000)
REMEMBERED = 30


def store(client: Redis) -> SignalStore:
    return SignalStore(client, Keys(), SETTINGS, replay_s=500, remembered=REMEMBERED)


def event(number: int, after_s: float = 0.0, **changes: Any) -> Scored:
    origin = Origin("news", 0, number)
    return scored(**{"id": f"e{number}", "origin": origin, "after_s": after_s, **changes})


EVENTS = st.lists(
    st.tuples(
        st.floats(0, 90_000),
        st.sampled_from(["news", "social", "ticket"]),
        st.sampled_from(["negative", "neutral", "positive"]),
        st.sampled_from(["low", "high"]),
        st.sampled_from([(), ("sentiment",), ("sentiment", "risk")]),
        st.lists(
            st.tuples(
                st.sampled_from(["A", "B", 'a "name"\nof\x00 two lines']),
                st.floats(0, 1),
                st.floats(0, 1),
            ),
            max_size=3,
            unique_by=lambda one: one[0],
        ),
    ),
    max_size=30,
)


def made(rows: list[Any]) -> list[Scored]:
    return [
        event(
            number,
            after_s,
            source=kind,
            subjects=tuple(Subject("ticker", *one) for one in subjects),
            heads=scores(sentiment=(tone, 0.7), risk=risk, abstained=abstained),
        )
        for number, (after_s, kind, tone, risk, abstained, subjects) in enumerate(rows)
    ]


async def told(client: Redis, batch: list[Scored]) -> list[dict[str, Windows]]:
    """The windows of each event as they were then."""
    return [deepcopy(found) for found in (await store(client).observe(batch)).windows]


async def assert_equal_to_memory(client: Redis, batch: list[Scored], size: int) -> None:
    memory = SubjectWindows(SETTINGS)
    for start in range(0, len(batch), size):
        some = batch[start : start + size]
        for one, answer in zip(some, await told(client, some), strict=True):
            expected = memory.observe(one)
            assert answer.keys() == expected.keys()
            for name, windows in expected.items():
                found = answer[name]
                assert (found.events, found.late) == (windows.events, windows.late)
                assert (found.at_us, found.first_us) == (windows.at_us, windows.first_us)
                assert sums(found) == pytest.approx(sums(windows), rel=1e-9, abs=1e-12)


@examples(max_examples=15, suppress_health_check=list(HealthCheck))
@given(EVENTS, st.integers(1, 30))
def test_redis_and_memory_add_up_the_same_imitation(rows: list[Any], size: int) -> None:
    async def run() -> None:
        async with FakeAsyncRedis() as client:
            await assert_equal_to_memory(client, made(rows), size)

    asyncio.run(run())


async def test_redis_and_memory_agree_after_more_half_lives_than_a_weight_holds(
    client: Redis,
) -> None:
    life = SETTINGS.short_half_life_s
    moments = [0, 60, 120, 120.5, 119, 320, 5_000, 5_001, 5_090]
    batch = [event(number, moment * life) for number, moment in enumerate(moments)]
    await assert_equal_to_memory(client, batch, size=2)


@pytest.mark.redis
@examples(max_examples=60, suppress_health_check=list(HealthCheck))
@given(EVENTS, st.integers(1, 30))
def test_redis_and_memory_add_up_the_same(redis_url: str, rows: list[Any], size: int) -> None:
    async def run() -> None:
        async with Redis.from_url(redis_url) as client:
            await client.flushdb()
            await assert_equal_to_memory(client, made(rows), size)

    asyncio.run(run())


async def test_a_redelivered_event_changes_nothing_and_gets_its_first_answer(
    client: Redis,
) -> None:
    batch = [event(number, number * 60.0) for number in range(10)]
    first = await told(client, batch)
    hash_before = await client.hgetall(Keys().subject("ticker:HALC"))
    # Together with a new one, in another order, in another call.
    again = await told(client, [batch[7], event(10, 999.0), batch[2]])
    assert [again[0], again[2]] == [first[7], first[2]]
    assert again[1]["ticker:HALC"].events == 11
    assert int(hash_before[b"events"]) == 10


async def test_an_event_redelivered_after_its_time_is_a_new_one(client: Redis) -> None:
    await told(client, [event(1), event(2, 60.0)])
    for fold in [key async for key in client.scan_iter(f"{Keys().calls}*")]:
        await client.delete(fold)
    (answer,) = await told(client, [event(1)])
    assert answer["ticker:HALC"].events == 3
    assert await told(client, [event(1)]) == [answer]


async def test_an_event_twice_in_one_batch_counts_once(client: Redis) -> None:
    first, second = await told(client, [event(1), event(1)])
    assert first == second
    assert first["ticker:HALC"].events == 1


@pytest.mark.parametrize("order", ["in turn", "mixed", "backwards"])
async def test_a_call_is_worked_out_once_however_its_events_come_again(
    client: Redis, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Each event from the beginning would make a batch of one id take its number squared."""
    batch = [event(number, number * 60.0) for number in range(20)]
    orders = {"in turn": [*batch, *batch[-1:] * 20], "mixed": batch * 3, "backwards": batch[::-1]}
    again = orders[order]
    first = await told(client, batch)
    steps = 0
    step = Fold.step

    def counted(fold: Fold) -> dict[str, Windows]:
        nonlocal steps
        steps += 1
        return step(fold)

    monkeypatch.setattr(Fold, "step", counted)
    assert await told(client, again) == [first[batch.index(one)] for one in again]
    assert steps == len(batch)
    await client.flushdb()
    answers = await told(client, again)
    assert answers == [answers[again.index(one)] for one in again]
    assert steps == 2 * len(batch)


async def test_the_same_id_from_two_sources_is_two_events(client: Redis) -> None:
    post = event(1, source="social", origin=Origin("social", 0, 1))
    answers = await told(client, [event(1), post])
    assert answers[1]["ticker:HALC"].events == 2


async def test_a_chunk_that_is_larger_than_the_room_of_its_source_is_known_again(
    client: Redis,
) -> None:
    """A source holds one chunk, however large, and all of it may be read again after a crash."""
    settings = Settings(model=Model(max_waiting=1), worker=Worker(max_poll_records=300))
    remembered = WORK_REMEMBERED * settings.most_in_work
    windows = SignalStore(client, Keys(), SETTINGS, replay_s=500, remembered=remembered)
    chunk = [event(number, number) for number in range(300)]
    for _ in range(2):
        await windows.observe(chunk)
    found = await windows.get("ticker:HALC")
    assert found is not None
    assert found.events == 300


async def test_what_is_remembered_is_bounded_a_partition(client: Redis) -> None:
    for number in range(3 * REMEMBERED):
        await store(client).observe([event(number, origin=Origin("news", number % 2, number))])
    for partition in (0, 1):
        seen, order, _ = Keys().seen("news", partition)
        assert await client.hlen(seen) == await client.llen(order) == REMEMBERED
        assert 0 < await client.ttl(seen) <= 500
        assert 0 < await client.ttl(order) <= 500
    folds = [key async for key in client.scan_iter(f"{Keys().calls}*")]
    assert len(folds) == 2 * REMEMBERED
    assert all([0 < await client.ttl(fold) <= 500 for fold in folds])


async def test_an_event_too_late_for_what_another_worker_added_counts_as_late(
    client: Redis,
) -> None:
    await told(client, [event(1, 50_000.0)])
    # The first of these is too late only for what was added before, not for the others.
    batch = [event(2, 29_000.0), event(3, 50_001.0), event(1, 50_000.0), event(4, 29_500.0)]
    answers = [found["ticker:HALC"] for found in await told(client, batch)]
    assert [(one.events, one.late) for one in answers] == [(1, 1), (2, 1), (1, 0), (2, 2)]
    found = await store(client).get("ticker:HALC")
    assert found is not None
    assert (found.events, found.late) == (2, 2)
    assert sums(found)["short_volume"] == pytest.approx(sums(answers[3])["short_volume"])


async def test_a_call_is_kept_as_long_as_one_of_its_events(client: Redis) -> None:
    def other(number: int) -> Scored:
        return event(number, float(number), origin=Origin("news", 1, number))

    answers = await told(client, [event(0), other(1)])
    calls = f"{Keys().calls}*"
    (call,) = [key async for key in client.scan_iter(calls)]
    for number in range(2, REMEMBERED + 2):
        await store(client).observe([event(number, float(number))])
    assert await told(client, [other(1)]) == answers[1:]
    for number in range(100, REMEMBERED + 100):
        await store(client).observe([other(number)])
    assert call not in [key async for key in client.scan_iter(calls)]
    (answer,) = await told(client, [other(1)])
    assert answer["ticker:HALC"].events == 2 * REMEMBERED + 3


@pytest.mark.parametrize("places", ["0", "[2]"])
async def test_an_event_that_a_former_worker_folded_in_is_known(client: Redis, places: str) -> None:
    """As such a worker left it: a fold in one text, with events that were not new in their call."""
    one = event(1, 60.0)
    at_us = time_us(one.time)
    before = struct.pack("<29d", 1, 0, at_us - 60_000_000, at_us - 60_000_000, *[1.0] * 25)
    row = f'[1,"e1",{at_us},0,0,0,0,[[1,1,1]]]'
    head = f'{places}\n["ticker:HALC"]\n[{row if places == "0" else f"{row},{row}"}]\n'
    fold = f"{Keys().former_folds}77"
    await client.hset(fold, "fold", head.encode() + b"b" + before)
    *_, seen = Keys().seen("news", 0)
    await client.hset(seen, "e1", "78 77 1")
    await client.hset(fold, "rules", '{"bw:lasting:ticker:HALC":["r"]}')

    observed = await store(client).observe([one, event(2, 90.0)])
    assert observed.turns[0] == 78
    assert observed.before == [{"ticker:HALC": ["r"]}, None]
    first, _ = [deepcopy(found) for found in observed.windows]
    assert first["ticker:HALC"].events == 2
    assert sums(first["ticker:HALC"])["news_volume"] == pytest.approx(1 + 0.5 ** (60 / 3600))
    # It is in the windows that such a worker wrote, and there alone.
    found = await store(client).get("ticker:HALC")
    assert found is not None
    assert found.events == 1


@pytest.mark.redis
async def test_a_call_may_have_more_subjects_than_lua_hands_to_a_command(redis_url: str) -> None:
    batch = [
        event(number, subjects=tuple(Subject("ticker", f"{number}-{n}") for n in range(40)))
        for number in range(300)
    ]
    async with Redis.from_url(redis_url) as client:
        first = await told(client, batch)
        assert await told(client, batch) == first
        assert len({name for found in first for name in found}) == 300 * 40 + 1


async def test_the_hash_of_a_subject_can_be_read_and_expires(client: Redis) -> None:
    (answer,) = await told(client, [event(1)])
    fields = await client.hgetall(Keys().subject("ticker:HALC"))
    assert fields[b"events"] == b"1"
    assert int(fields[b"at_us"]) == answer["ticker:HALC"].at_us
    assert await client.ttl(Keys().subject("ticker:HALC")) > 0
    assert await store(client).get("ticker:HALC") == answer["ticker:HALC"]
    assert await store(client).get("ticker:NONE") is None


async def test_every_event_has_a_turn_of_its_own_and_keeps_it(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 5_000_000
    monkeypatch.setattr(time, "time_ns", lambda: clock * 1_000)
    first = await store(client).observe([event(1), event(2), event(1)])
    assert first.turns == [5_000_000, 5_000_001, 5_000_000]
    clock -= 1_000  # set back, or another worker's
    assert (await store(client).observe([event(3), event(2)])).turns == [5_000_002, 5_000_001]
    clock += 9_000
    assert (await store(client).observe([event(4)])).turns == [5_008_000]


async def test_the_rules_that_know_of_a_subject_are_told(client: Redis) -> None:
    await client.sadd(Keys().lasting("ticker:HALC"), "r", "waits")
    observed = await store(client).observe([event(1)], {"ticker:HALC", "ticker:OTHER"})
    assert observed.rules == {"ticker:HALC": {"r", "waits"}}


async def test_workers_that_see_the_same_events_at_once_count_them_once(client: Redis) -> None:
    batch = [event(number, float(number)) for number in range(20)]
    answers = await asyncio.gather(*(told(client, batch) for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    windows = await store(client).get("ticker:HALC")
    assert isinstance(windows, Windows)
    assert windows.events == 20


async def test_a_redis_that_forgot_the_script_is_given_it_again(client: Redis) -> None:
    signals = store(client)
    await signals.observe([event(1)])
    await client.script_flush()
    (answer,) = list((await signals.observe([event(2)])).windows)
    assert answer["ticker:HALC"].events == 2
