"""What a topic has too little room for: smaller batches, and one record that none can carry."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder

from stream.outbox import Outbox, Outgoing, TooLargeForTopicError


class TightTopic:
    """A producer whose topic takes batches of at most so many bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.taken: list[int] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(16_384, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> Any:
        answer = asyncio.get_running_loop().create_future()
        if batch.size() > self._most:
            answer.set_exception(MessageSizeTooLargeError())
        else:
            self.taken.append(batch.record_count())
            answer.set_result(None)
        return answer


def outbox(producer: TightTopic) -> Outbox:
    box = Outbox({})
    box._producer = producer  # type: ignore[assignment]
    return box


async def test_a_topic_that_takes_only_small_batches_is_sent_smaller_ones() -> None:
    producer = TightTopic(most=1_000)
    await outbox(producer).send([Outgoing("tight", b"k", b"x" * 300) for _ in range(9)])
    assert sum(producer.taken) == 9
    assert 1 < max(producer.taken) < 4


@pytest.mark.parametrize("size", [2_000, 50_000])
async def test_a_record_that_its_topic_never_takes_is_named_not_sent_for_ever(size: int) -> None:
    producer = TightTopic(most=1_000)
    with pytest.raises(TooLargeForTopicError, match=f"topic tight .* {size + 1} bytes"):
        await outbox(producer).send([Outgoing("tight", b"k", b"x" * one) for one in (10, size)])
    assert producer.taken == [1]
