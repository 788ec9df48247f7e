"""Dead letters go back once, whole, and a second failure is the first one's next attempt."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import orjson
import pytest
from aiokafka import AIOKafkaProducer

from models.stub import StubPredictor
from stream.config.settings import Settings, Source, load_settings
from stream.connections.clients import kafka_arguments
from stream.connections.outbox import Outgoing, open_outbox
from stream.connections.topic_log import read_log
from stream.connections.topics import prepare_topics
from stream.ingest.dead_letter import DeadLetter
from stream.operations.dead_letter_log import Wanted, list_dead_letters
from stream.operations.dead_letter_replay import Outcome, replay
from stream.records import Origin, utc_now
from stream.runtime.errors import StartError
from stream.worker.app import Worker
from tests.integration.traffic import settle

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

HEADERS = [("trace", b"\x00\xff"), ("trace", b"again"), ("empty", b"")]


@pytest.fixture
def settings(kafka: str, redis_url: str) -> Settings:
    name = f"replay-{uuid.uuid4().hex[:8]}"
    base = load_settings(None)
    return base.model_copy(
        update={
            "kafka": base.kafka.model_copy(
                update={"bootstrap": kafka, "prefix": f"{name}.", "group": name, "partitions": 2}
            ),
            "redis": base.redis.model_copy(update={"url": redis_url}),
            "sources": (Source(topic=f"{name}-news", kind="news"),),
        }
    )


def accepts(settings: Settings, *, field: str) -> Settings:
    """The same deployment after a fix: the text is found under another name."""
    (source,) = settings.sources
    fields = source.fields.model_copy(update={"text": field})
    return settings.model_copy(update={"sources": (source.model_copy(update={"fields": fields}),)})


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    running = Worker(settings, StubPredictor())
    await running.start()
    try:
        yield running
    finally:
        assert await running.stop()


async def send(settings: Settings, *records: tuple[bytes | None, bytes | None]) -> None:
    """With headers and a time of yesterday, as a record might really have."""
    producer = AIOKafkaProducer(**kafka_arguments(settings.kafka))
    await producer.start()
    yesterday_ms = round((utc_now() - timedelta(days=1)).timestamp() * 1000)
    for key, value in records:
        await producer.send_and_wait(
            settings.sources[0].topic,
            key=key,
            value=value,
            headers=HEADERS,
            timestamp_ms=yesterday_ms,
        )
    await producer.stop()


async def test_after_a_fix_what_failed_is_scored_with_its_bytes_key_headers_and_time(
    settings: Settings,
) -> None:
    await prepare_topics(settings)
    body = orjson.dumps({"body": "negative high"})
    await send(settings, (b"a", body), (None, body), (b"c", None), (b"d", b"not json"))
    async with worker(settings) as running:
        await settle(running, 4)

    rehearsal = await replay(settings, Wanted(reasons=("no_text",)), dry_run=True)
    assert (rehearsal.replayed, dict(rehearsal.by_reason)) == (2, {"no_text": 2})
    outcome = await replay(settings, Wanted(reasons=("no_text",)))
    assert (outcome.replayed, outcome.refused) == (2, [])

    async with worker(accepts(settings, field="body")) as running:
        await settle(running, 2)
        assert running.telemetry.scored == 2

    topic = settings.sources[0].topic
    records = [record async for record in read_log(settings, topic)]
    again = [record for record in records if len(record.headers) > len(HEADERS)]
    assert sorted(record.key or b"" for record in again) == [b"", b"a"]
    assert {record.value for record in again} == {body}
    for record in again:
        assert list(record.headers[: len(HEADERS)]) == HEADERS
        assert dict(record.headers)["bellwether-replay-attempt"] == b"2"
        assert record.timestamp == records[0].timestamp


async def test_replaying_twice_by_accident_is_refused_without_again(settings: Settings) -> None:
    await prepare_topics(settings)
    await send(settings, (b"a", b"not json"))
    async with worker(settings) as running:
        await settle(running, 1)
    assert (await replay(settings, Wanted())).replayed == 1
    second = await replay(settings, Wanted())
    assert second.replayed == 0
    assert "was replayed at" in second.refused[0].why
    assert (await replay(settings, Wanted(), again=True)).replayed == 1


async def test_two_who_replay_at_once_send_a_dead_letter_once(settings: Settings) -> None:
    await send(settings, (b"k", b'{"body": "profit warning"}'))
    async with worker(settings) as first:
        await settle(first, 1)
    answers = await asyncio.gather(
        *(replay(settings, Wanted()) for _ in range(2)), return_exceptions=True
    )
    replayed = [one.replayed for one in answers if isinstance(one, Outcome)]
    told = [str(one) for one in answers if isinstance(one, StartError)]
    assert replayed == [1]
    assert len(told) == 1
    assert "being replayed by someone else" in told[0]
    assert (await replay(settings, Wanted(), dry_run=True)).replayed == 0


async def test_a_second_failure_is_linked_counted_once_and_not_replayed_for_ever(
    settings: Settings,
) -> None:
    await prepare_topics(settings)
    await send(settings, (b"a", b"not json"))
    async with worker(settings) as running:
        for attempt in (1, 2, 3):
            await settle(running, attempt)
            listing = await list_dead_letters(settings, limit=10)
            (letter,) = listing.letters
            assert (letter.attempt, letter.value) == (attempt, b"not json")
            outcome = await replay(settings, Wanted())
            assert outcome.replayed == (1 if attempt < 3 else 0)
    assert any("has failed 3 times" in refused.why for refused in outcome.refused)
    assert any(f"failed again since, as {letter.id}" in refused.why for refused in outcome.refused)
    assert letter.first != letter.id


async def test_a_record_that_failed_for_another_reason_since_is_listed_under_that_one_alone(
    settings: Settings,
) -> None:
    await prepare_topics(settings)
    await send(settings, (b"a", b'{"body": {"not": "a text"}}'))
    async with worker(settings) as running:
        await settle(running, 1)
    assert (await replay(settings, Wanted(reasons=("no_text",)))).replayed == 1
    async with worker(accepts(settings, field="body")) as running:
        await settle(running, 1)

    async def attempts(reason: str) -> list[int]:
        listing = await list_dead_letters(settings, limit=10, wanted=Wanted(reasons=(reason,)))
        return [letter.attempt for letter in listing.letters]

    assert await attempts("wrong_type") == [2]
    assert await attempts("no_text") == []


async def test_what_would_be_incomplete_or_lead_nowhere_is_refused_with_the_reason(
    settings: Settings,
) -> None:
    await prepare_topics(settings)

    def letter(origin: Origin, value: bytes) -> DeadLetter:
        return DeadLetter(
            origin=origin, reason="r", field="", detail="", key=None, value=value, time=utc_now()
        )

    large = letter(Origin(settings.sources[0].topic, 0, 1), b"x" * 4_000_001)
    elsewhere = letter(Origin("feed.jsonl", 0, 2), b"y")
    topic = settings.topics.dead_letter
    garbage = [b"{}", b"\xff", b'{"origin": 5}', None]
    # Twice, as after a crash: one letter all the same.
    letters = [one.encode() for one in (large, elsewhere, large, elsewhere)]
    async with open_outbox(settings.kafka) as outbox:
        await outbox.send([Outgoing(topic, None, value) for value in (*garbage, *letters)])

    outcome = await replay(settings, Wanted())
    assert (outcome.replayed, outcome.unreadable) == (0, len(garbage))
    why = {refused.id: refused.why for refused in outcome.refused}
    assert "all but 4000000 of its 4000001 bytes could not be kept" in why[large.id]
    assert "no source of these settings" in why["feed.jsonl-0-2"]
    assert len(outcome.refused) == 2
    missing = await replay(settings, Wanted(ids=("nobody-0-0",)))
    assert [refused.why for refused in missing.refused] == ["is not on the dead-letter topic"]

    listing = await list_dead_letters(settings, limit=10)
    assert {one.id for one in listing.letters} == {large.id, elsewhere.id}
    assert listing.unreadable == len(garbage)
    assert (await list_dead_letters(settings, limit=1)).letters == [listing.letters[-1]]
    later = Wanted(since=utc_now() + timedelta(hours=1))
    assert (await list_dead_letters(settings, limit=10, wanted=later)).letters == []
