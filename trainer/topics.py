"""Reads the trainer's topics: feedback, what of it is refused, scored texts, answers in shadow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from models.spec import Head
from stream.ingest.dead_letter import DeadLetter
from stream.records import DECODE_ERRORS, Shadowed, decode_shadowed, model_text, utc_now
from trainer.errors import ServiceError
from trainer.labels.feedback import Accepted, Refusal, read_feedback
from trainer.labels.label_log import LabelLog, SeenEvent
from trainer.promotion.drift import Answers

logger = logging.getLogger(__name__)

POLL_MS = 300
RETRY_S = 2.0
MAX_RECORDS = 2_000


class _Said(msgspec.Struct):
    label: str
    confidence: float


class _ScoredText(msgspec.Struct):
    """Of a scored record, what a label can be about, and what the model said."""

    id: str
    source: str
    text: str
    model: str = ""
    heads: dict[str, _Said] = {}
    title: str = ""
    unreadable: str = ""


class Reading(NamedTuple):
    """What one poll brought: nothing of it is in the label log yet.

    before is, by the same places as read_up_to, how many offsets each had before it began anew.
    """

    accepted: list[Accepted]
    refused: list[DeadLetter]
    events: list[SeenEvent]
    answers: list[Answers]
    shadowed: list[Shadowed]
    read_up_to: dict[tuple[str, int], int]
    before: dict[tuple[str, int], int]


class Reader:
    """Reads its topics from where the label log stands; no consumer group, no commits."""

    def __init__(
        self, kafka: Mapping[str, Any], *, feedback: str, scored: str, shadow: str
    ) -> None:
        self._topics = (feedback, scored, shadow)
        self._feedback, self._shadow = feedback, shadow
        self._bootstrap = kafka["bootstrap_servers"]
        # None before the first record of a partition.
        self._positions: dict[TopicPartition, int | None] = {}
        self._before: dict[TopicPartition, int] = {}
        self._consumer = AIOKafkaConsumer(
            feedback,
            scored,
            shadow,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **kafka,
        )

    async def start(self, log: LabelLog) -> None:
        """Raises ServiceError when no broker answers."""
        try:
            await self._consumer.start()
        except (KafkaError, OSError) as error:
            raise ServiceError(
                f"Kafka at {self._bootstrap} can't be reached ({error}); start it, or set "
                "kafka.bootstrap (BELLWETHER_KAFKA__BOOTSTRAP)"
            ) from error
        places = self._consumer.assignment()
        # Given by the topics' names, all partitions would begin anew as soon as one is added.
        self._consumer.unsubscribe()
        self._positions = {place: log.position(place.topic, place.partition) for place in places}
        self._before = {place: log.before(place.topic, place.partition) for place in places}
        self._read()

    async def stop(self) -> None:
        await self._consumer.stop()

    async def poll(self, heads: Sequence[Head]) -> Reading:
        """What came since, empty after POLL_MS without anything."""
        self._read_added()
        reading = Reading([], [], [], [], [], {}, {})
        polled = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
        for place, records in polled.items():
            if records[0].offset < (self._positions.get(place) or 0):
                self._begin_anew(place, records[0].offset)
            before = self._before.get(place, 0)
            for record in records:
                if place.topic == self._feedback:
                    _take(record, before, heads, reading)
                elif place.topic == self._shadow:
                    reading.shadowed.extend(_shadowed(record.value))
                elif (scored := _scored(record.value)) is not None:
                    text = model_text(scored.title, scored.text)
                    event = SeenEvent(scored.id, scored.source, text, scored.unreadable)
                    reading.events.append(event)
                    if not scored.unreadable:
                        reading.answers.append(_answers(scored))
            self._positions[place] = records[-1].offset + 1
            reading.read_up_to[place.topic, place.partition] = records[-1].offset + 1
            reading.before[place.topic, place.partition] = before
        return reading

    def _begin_anew(self, place: TopicPartition, offset: int) -> None:
        """Its records count on from those it had, or new labels would pass for known ones."""
        position = self._positions[place] or 0
        self._before[place] = self._before.get(place, 0) + position
        logger.warning(
            "%s[%d] ends before offset %d, where the trainer was to go on: its topic was made "
            "anew, or brokers have lost records; reading it from offset %d on",
            *place,
            position,
            offset,
        )

    def _read_added(self) -> None:
        """Partitions that were added to our topics, from their first record on."""
        places = {
            TopicPartition(topic, partition)
            for topic in self._topics
            for partition in self._consumer.partitions_for_topic(topic) or ()
        }
        if added := places - self._positions.keys():
            self._positions |= dict.fromkeys(added)
            self._read()

    def _read(self) -> None:
        self._consumer.assign([*self._positions])
        for place, position in self._positions.items():
            if position is not None:
                self._consumer.seek(place, position)


async def refuse(
    producer: AIOKafkaProducer, topic: str, letters: Sequence[DeadLetter], stop: asyncio.Event
) -> bool:
    """Whether Kafka has the dead letters: however long that takes, unless stop is set meanwhile."""
    sending = asyncio.create_task(_send(producer, topic, letters))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({sending, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            await sending
            return True
        logger.warning("Kafka does not take dead letters; their feedback is read again")
        return False
    finally:
        sending.cancel()
        stopped.cancel()


async def _send(producer: AIOKafkaProducer, topic: str, letters: Sequence[DeadLetter]) -> None:
    for letter in letters:
        words = " ".join(filter(None, (letter.field, letter.detail)))
        logger.warning("feedback %s refused: %s", letter.id, words)
        while True:
            try:
                await producer.send_and_wait(topic, letter.encode(), key=letter.key)
                break
            except KafkaError as error:
                logger.warning("Kafka does not take a dead letter (%r); trying again", error)
                await asyncio.sleep(RETRY_S)


def _take(record: ConsumerRecord, before: int, heads: Sequence[Head], reading: Reading) -> None:
    now = utc_now()
    feedback = read_feedback(record.value, heads, now)
    if not isinstance(feedback, Refusal):
        reading.accepted.append(Accepted(record.partition, before + record.offset, feedback))
        return
    reading.refused.append(
        DeadLetter.of(
            record,
            now,
            reason=feedback.reason,
            field=feedback.field,
            detail=feedback.detail,
        )
    )


def _shadowed(payload: bytes | None) -> list[Shadowed]:
    try:
        return [decode_shadowed(payload or b"")]
    except DECODE_ERRORS:
        return []


def _answers(scored: _ScoredText) -> Answers:
    said = {name: (one.label, one.confidence) for name, one in scored.heads.items()}
    return Answers(scored.source, scored.model, said)


def _scored(payload: bytes | None) -> _ScoredText | None:
    # Only workers write to this topic; what is no scored record there is no event to speak of.
    try:
        return _decode(payload or b"")
    except DECODE_ERRORS:
        return None


_decode = msgspec.json.Decoder(_ScoredText).decode
