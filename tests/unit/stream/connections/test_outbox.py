"""What a topic has too little room for, and that no refused batch keeps the next from its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.errors import (
    BrokerResponseError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    RecordListTooLargeError,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from stream.connections import outbox as module
from stream.connections.outbox import Outbox, Outgoing, TooLargeForTopicError
from tests.until import until

DEADLINE_S = 30.0


class TightTopic:
    """Takes batches of at most so many bytes, in partitions that a slow broker may hold up."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.refuses: type[BrokerResponseError] = MessageSizeTooLargeError
        self.taken: list[int] = []
        self.refused = 0
        self.producers: list[Producer] = []
        self.held: dict[int, asyncio.Future[None]] = {}
        self.away = 0
        """How many more producers find no broker when they start."""


class Producer:
    """Like aiokafka's: what it sends after a batch that was refused is out of order there."""

    def __init__(self, topic: TightTopic) -> None:
        topic.producers.append(self)
        self._topic = topic
        self._gaps: set[int] = set()
        self.closed = False

    async def start(self) -> None:
        if self._topic.away:
            self._topic.away -= 1
            raise KafkaConnectionError

    async def stop(self) -> None:
        self.closed = True

    async def partitions_for(self, topic: str) -> set[int]:
        assert not self.closed
        return {0, 1}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(16_384, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Any:
        assert not self.closed
        answer = asyncio.get_running_loop().create_future()
        if batch.size() > self._topic.most:
            self._topic.refused += 1
            self._gaps.add(partition)
            answer.set_exception(self._topic.refuses())
        elif partition in self._gaps:
            answer.set_exception(OutOfOrderSequenceNumber())
        elif held := self._topic.held.get(partition):
            return held
        else:
            self._topic.taken.append(batch.record_count())
            answer.set_result(None)
        return answer


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> TightTopic:
    tight = TightTopic(most=1_000)
    monkeypatch.setattr(module, "AIOKafkaProducer", lambda **_: Producer(tight))
    # Each partition is named by its key.
    monkeypatch.setattr(module, "DefaultPartitioner", lambda: lambda key, *_: int(key))
    return tight


@asynccontextmanager
async def started() -> AsyncIterator[Outbox]:
    outbox = Outbox({})
    await outbox.start()
    async with asyncio.timeout(DEADLINE_S):
        yield outbox
        await outbox.stop()


def records(*sizes: int, partition: bytes = b"0") -> list[Outgoing]:
    return [Outgoing("tight", partition, b"x" * size) for size in sizes]


async def test_a_topic_that_takes_only_small_batches_is_sent_smaller_ones(
    topic: TightTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started() as outbox:
        await outbox.send(records(*[100] * 20))
        assert sum(topic.taken) == 20
        assert 1 < max(topic.taken) < 9
        refused = topic.refused
        await outbox.send(records(*[100] * 20))
        # What it has room for is remembered.
        assert topic.refused == refused
        assert sum(topic.taken) == 40
        # Not for ever: somebody may have given the topic more.
        monkeypatch.setattr("stream.connections.outbox.GROW_AFTER", 2)
        await outbox.send(records(*[100] * 20))
        assert topic.refused > refused
        assert sum(topic.taken) == 60


@pytest.mark.parametrize("refuses", [MessageSizeTooLargeError, RecordListTooLargeError])
@pytest.mark.parametrize("size", [2_000, 50_000])
async def test_a_record_that_its_topic_never_takes_is_named_and_the_next_is_sent(
    topic: TightTopic, size: int, refuses: type[BrokerResponseError]
) -> None:
    topic.refuses = refuses
    async with started() as outbox:
        with pytest.raises(TooLargeForTopicError, match=f"topic tight .* {size + 1} bytes"):
            await outbox.send(records(10, size))
        assert topic.taken == [1]
        await outbox.send(records(10))
        assert topic.taken == [1, 1]


async def test_a_producer_that_gave_up_a_batch_is_closed_when_its_last_send_is_through(
    topic: TightTopic,
) -> None:
    async with started() as outbox:
        held = topic.held[1] = asyncio.get_running_loop().create_future()
        slow = asyncio.create_task(outbox.send(records(10, partition=b"1")))
        await until(lambda: outbox._link.uses == 1)
        with pytest.raises(TooLargeForTopicError):
            await outbox.send(records(2_000))
        await outbox.send(records(10))
        first, second = topic.producers
        assert not first.closed
        held.set_result(None)
        await slow
        await until(lambda: first.closed)
        assert not second.closed
    assert second.closed


async def test_a_producer_is_replaced_later_if_no_broker_is_there_for_a_new_one(
    topic: TightTopic,
) -> None:
    async with started() as outbox:
        topic.away = 2
        with pytest.raises(TooLargeForTopicError):
            await outbox.send(records(2_000))
        first, *_ = topic.producers
        assert not first.closed
        await outbox.send(records(10))
        assert topic.taken == [1]
    assert [producer.closed for producer in topic.producers] == [True] * 4
