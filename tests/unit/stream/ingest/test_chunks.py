"""Chunks are acknowledged in the order of their partition, and only in their own generation."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream.ingest.chunks import ChunkConsumer, ChunkTracker
from stream.ingest.consumer_thread import (
    FETCH_WAIT_MS,
    GATHER_BYTES,
    GATHER_MS,
    PromptConsumerThread,
)


class FakeEvent:
    def __init__(self, tp: TP, name: str, records: int, log: list[str]) -> None:
        self.message = SimpleNamespace(tp=tp)
        self.value: list[Any] = [object()] * records
        self._name = name
        self._log = log

    def ack(self) -> None:
        self._log.append(self._name)


class Group:
    def __init__(self) -> None:
        self.generation = 1
        self.acks: list[str] = []
        self.tracker = ChunkTracker(lambda: self.generation)

    def open(self, partition: int, name: str, records: int = 1) -> Any:
        return self.tracker.open(FakeEvent(TP("news", partition), name, records, self.acks))

    @property
    def open_chunks(self) -> int:
        return sum(map(len, self.tracker._open.values()))


def test_a_chunk_that_ends_early_waits_for_those_before_it() -> None:
    group = Group()
    first, second, third = (group.open(0, name) for name in "abc")
    group.tracker.settle(third, 1)
    group.tracker.settle(second, 1)
    assert group.acks == []
    group.tracker.settle(first, 1)
    assert group.acks == ["a", "b", "c"]


def test_a_chunk_is_acknowledged_only_when_all_its_records_are_out() -> None:
    group = Group()
    chunk = group.open(0, "a", records=3)
    group.tracker.settle(chunk, 2)
    assert group.acks == []
    group.tracker.settle(chunk, 1)
    assert group.acks == ["a"]


async def test_a_rebalance_commits_what_is_acknowledged_before_it_is_forgotten() -> None:
    ours, revoked = TP("news", 0), TP("news", 1)
    # The parts of a consumer that a rebalance touches, without Kafka.
    consumer: Any = object.__new__(ChunkConsumer)
    consumer._active_partitions, consumer._paused_partitions = {ours, revoked}, {revoked}
    consumer._read_offset = {ours: 4, revoked: 9}
    consumer._committed_offset = {ours: 2, revoked: 5}
    consumer._acked = defaultdict(list, {ours: [3], revoked: [7, 8]})
    consumer._acked_index = defaultdict(set, {ours: {3}, revoked: {7, 8}})
    consumer._came = {ours: (2, 4), revoked: (5, 9)}
    committed: list[int | None] = []

    async def drain(partitions: set[TP]) -> None:
        committed.extend(consumer._new_offset(tp) for tp in partitions)

    consumer._on_partitions_revoked = drain
    await consumer.on_partitions_revoked({revoked})
    assert committed == [9]
    assert consumer._active_partitions == {ours}
    assert consumer._paused_partitions == set()
    for kept in (
        consumer._read_offset,
        consumer._committed_offset,
        consumer._acked,
        consumer._came,
    ):
        assert set(kept) == {ours}


async def test_work_on_a_log_that_is_gone_commits_nothing_in_the_one_that_follows() -> None:
    place = TP("news", 0)
    of_the_old = SimpleNamespace(tp=place, acked=False)
    of_another = SimpleNamespace(tp=TP("news", 1), acked=False)
    consumer: Any = object.__new__(ChunkConsumer)
    consumer.app = SimpleNamespace(consumer_generation_id=1)
    consumer._stopped = consumer._crashed = asyncio.Event()
    consumer._unacked_messages = [of_the_old, of_another]
    consumer._read_offset = defaultdict(lambda: None, {place: 99})
    consumer._committed_offset = defaultdict(lambda: None, {place: 100})
    consumer._acked, consumer._acked_index = {place: [99]}, {place: {99}}
    consumer._came = {place: (90, 100)}
    consumer._to_message = lambda tp, record: SimpleNamespace(tp=tp, offset=record.offset)
    fetched = {place: [SimpleNamespace(offset=0), SimpleNamespace(offset=1)]}

    async def next_records(_: float) -> Any:
        return fetched, None

    consumer._wait_next_records = next_records
    consumer._pace = lambda now: None
    [(tp, message)] = [one async for one in consumer.getmany(1.0)]
    assert (tp, message.offset, message.value) == (place, 1, fetched[place])
    assert (of_the_old.acked, of_another.acked) == (True, False)
    assert consumer._committed_offset[place] is None
    assert not consumer._acked
    assert consumer._came == {place: (0, 2)}


@pytest.mark.parametrize(
    ("what", "committed", "came", "reach", "lag"),
    [
        ("nothing fetched yet", 5, None, (None, None), None),
        ("all done", 9, (0, 9), (9, 9), 0),
        ("records that no fetch brought", 9, (0, 9), (9, 20), 11),
        ("records that are not finished", 4, (0, 9), (9, 9), 5),
        ("and before a first commit", None, (3, 9), (9, 12), 9),
        ("a marker at the end, passed over", 9, (0, 9), (10, 10), 0),
        ("a marker at the end, none came at all", 9, None, (10, 10), 0),
        ("a new group, all past retention", None, None, (50, 50), 0),
        ("a new group, some past retention", None, None, (50, 60), 10),
        ("away for longer than retention", 9, None, (50, 50), 0),
        ("and what came after is not finished", 9, (50, 55), (55, 60), 10),
        ("on its way to what retention left", 9, None, (None, 60), 51),
    ],
)
def test_lag_is_what_is_left_to_read_or_to_finish(
    what: str,
    committed: int | None,
    came: tuple[int, int] | None,
    reach: tuple[int | None, int | None],
    lag: int | None,
) -> None:
    place = TP("news", 0)
    consumer: Any = object.__new__(ChunkConsumer)
    consumer._committed_offset = defaultdict(lambda: None, {place: committed})
    consumer._came = {place: came} if came else {}
    consumer._thread = SimpleNamespace(reach=lambda tp: reach)
    assert consumer.lag(place) == lag, what


def test_brokers_gather_records_only_while_they_come_often() -> None:
    told: list[tuple[int, int]] = []
    fetcher = SimpleNamespace(_fetch_min_bytes=1, _fetch_max_wait_ms=FETCH_WAIT_MS)
    thread: Any = object.__new__(PromptConsumerThread)
    thread._consumer = SimpleNamespace(_fetcher=fetcher)
    consumer: Any = object.__new__(ChunkConsumer)
    consumer._thread, consumer._last_two = thread, (-math.inf, -math.inf)
    for now in (10.0, 10.01, 10.03, 10.05, 20.0, 20.01):
        consumer._pace(now)
        told.append((fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms))
    at_once, gathered = (1, FETCH_WAIT_MS), (GATHER_BYTES, GATHER_MS)
    assert told == [at_once, at_once, gathered, gathered, at_once, at_once]


def test_partitions_do_not_wait_for_each_other() -> None:
    group = Group()
    group.open(0, "slow")
    quick = group.open(1, "quick")
    group.tracker.settle(quick, 1)
    assert group.acks == ["quick"]


def test_a_chunk_of_an_earlier_generation_is_dropped_and_does_not_block() -> None:
    group = Group()
    stale = group.open(0, "stale")
    group.generation = 2
    fresh = group.open(0, "fresh")
    group.tracker.settle(fresh, 1)
    assert group.acks == ["fresh"]
    group.tracker.settle(stale, 1)
    assert group.acks == ["fresh"]
    assert group.open_chunks == 0


def test_settling_more_than_a_chunk_holds_is_an_error() -> None:
    group = Group()
    chunk = group.open(0, "a", records=2)
    with pytest.raises(ValueError, match="more records settled"):
        group.tracker.settle(chunk, 3)


@given(order=st.permutations(range(12)))
def test_in_whatever_order_chunks_end_acks_keep_delivery_order(order: list[int]) -> None:
    group = Group()
    chunks = [group.open(0, f"{place:02}") for place in range(12)]
    for done, place in enumerate(order, 1):
        group.tracker.settle(chunks[place], 1)
        finished = set(order[:done])
        ready = next((at for at in range(12) if at not in finished), 12)
        assert group.acks == [f"{at:02}" for at in range(ready)]


class Rebalancing(RuleBasedStateMachine):
    """Chunks that come and end in any order while the group rebalances, beside a plain model."""

    @initialize()
    def start(self) -> None:
        self.group = Group()
        self.names = 0
        # By partition and generation: [name, records not out yet, chunk] as they were delivered.
        self.delivered: dict[tuple[int, int], list[list[Any]]] = {}
        self.expected: list[str] = []

    @rule(partition=st.integers(0, 2), records=st.integers(1, 4))
    def deliver(self, partition: int, records: int) -> None:
        self.names += 1
        chunk = self.group.open(partition, f"{partition}:{self.names}", records)
        place = self.delivered.setdefault((partition, self.group.generation), [])
        place.append([f"{partition}:{self.names}", records, chunk])

    @precondition(lambda self: any(self.delivered.values()))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from([key for key, open_ in self.delivered.items() if open_]))
        waiting = self.delivered[place]
        entry = data.draw(st.sampled_from([entry for entry in waiting if entry[1]]))
        records = data.draw(st.integers(1, entry[1]))
        entry[1] -= records
        while waiting and waiting[0][1] == 0:
            name = waiting.pop(0)[0]
            if place[1] == self.group.generation:
                self.expected.append(name)
        self.group.tracker.settle(entry[2], records)

    @rule()
    def rebalance(self) -> None:
        self.group.generation += 1

    @invariant()
    def acknowledged_are_exactly_the_finished_heads_of_this_generation(self) -> None:
        assert self.group.acks == self.expected

    @invariant()
    def what_is_open_is_what_was_delivered_and_not_acknowledged(self) -> None:
        still = sum(len(waiting) for waiting in self.delivered.values())
        assert self.group.open_chunks == still


Rebalancing.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestRebalancing = Rebalancing.TestCase
