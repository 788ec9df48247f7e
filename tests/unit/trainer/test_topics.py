"""What the trainer takes of a scored record."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition

import trainer.topics
from stream.records import encode
from tests.fakes import scored
from trainer.labels.label_log import SeenEvent
from trainer.topics import Reader


async def test_an_event_is_seen_as_the_model_reads_it_and_with_why_it_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = [
        scored(title="Halcyon", text="It sank."),
        scored(id="e-2", lang="de", text="Es sank.", unreadable="language de"),
    ]

    async def getmany(**_: object) -> dict[TopicPartition, list[SimpleNamespace]]:
        found = [SimpleNamespace(value=encode(one), offset=at) for at, one in enumerate(records)]
        return {TopicPartition("scored", 0): found}

    consumer = SimpleNamespace(getmany=getmany, partitions_for_topic=lambda _: None)
    monkeypatch.setattr(trainer.topics, "AIOKafkaConsumer", lambda *_, **__: consumer)
    reader = Reader({"bootstrap_servers": ""}, feedback="said", scored="scored", shadow="shadow")
    reading = await reader.poll([])
    assert reading.events == [
        SeenEvent("e-1", "news", "Halcyon. It sank."),
        SeenEvent("e-2", "news", "Es sank.", "language de"),
    ]
    # What it said of a text that it can't read would only look like drift.
    assert [one.source for one in reading.answers] == ["news"]
    assert reading.read_up_to == {("scored", 0): 2}
