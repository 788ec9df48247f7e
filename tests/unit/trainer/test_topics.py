"""What the trainer takes of a scored record, and of a topic that was made anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

import trainer.topics
from models.spec import Head
from stream.records import Feedback, encode, utc_now
from tests.fakes import scored
from trainer.labels.label_log import LABELS_FILE, LabelLog, SeenEvent
from trainer.topics import Reader

MOOD = Head(name="mood", labels=("bad", "good"))


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


class Feedbacks:
    """A consumer of one partition of feedback."""

    def __init__(self) -> None:
        self.place = TopicPartition("said", 0)
        self.polls: list[list[SimpleNamespace]] = []

    def come(self, *events: str, offset: int) -> None:
        at = utc_now()
        self.polls.append(
            [
                SimpleNamespace(partition=0, offset=offset + number, value=encode(one))
                for number, one in enumerate(
                    Feedback(
                        id=f"of {event}",
                        event_id=event,
                        head="mood",
                        label="good",
                        author="ann",
                        text=f"text of {event}",
                        time=at,
                    )
                    for event in events
                )
            ]
        )

    async def start(self) -> None: ...

    async def getmany(self, **_: object) -> dict[TopicPartition, list[SimpleNamespace]]:
        return {self.place: self.polls.pop(0)} if self.polls else {}

    def assignment(self) -> set[TopicPartition]:
        return {self.place}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0} if topic == "said" else set()

    def unsubscribe(self) -> None: ...

    def assign(self, _: object) -> None: ...

    def seek(self, *_: object) -> None: ...


@pytest.mark.parametrize("restarted", [True, False])
async def test_labels_of_a_topic_that_was_made_anew_are_new_ones(
    restarted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    consumer = Feedbacks()
    monkeypatch.setattr(trainer.topics, "AIOKafkaConsumer", lambda *_, **__: consumer)
    log = LabelLog(tmp_path / LABELS_FILE, remember_events=9)

    async def started() -> Reader:
        made = Reader({"bootstrap_servers": ""}, feedback="said", scored="scored", shadow="shadow")
        await made.start(log)
        return made

    async def read(reader: Reader) -> None:
        found = await reader.poll([MOOD])
        log.append(found.accepted, found.events, found.read_up_to, found.before)

    reader = await started()
    consumer.come("e1", "e2", "e3", offset=0)
    await read(reader)
    known = log.settled([MOOD]).read_up_to
    assert not caplog.text
    for event in ("e4", "e5"):
        reader = await started() if restarted else reader
        consumer.come(event, offset=0)
        await read(reader)
        assert log.position("said", 0) == 1
    assert "said[0] ends before offset 3, where the trainer was to go on" in caplog.text
    new = {one.event_id for one in log.settled([MOOD]).labels if one.newer_than(known)}
    assert new == {"e4", "e5"}
    log.close()
