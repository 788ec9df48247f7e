"""A chunk is acknowledged after everything it caused is confirmed, and never otherwise."""

from __future__ import annotations

import asyncio
import copy
import itertools
import threading
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from faust.types import TP
from redis.exceptions import ConnectionError as RedisConnectionError

from models.spec import Scores
from models.stub import StubPredictor
from stream.alerts.evidence import evidence, fingerprint
from stream.alerts.store import Raised
from stream.config.queues import DEFAULT_QUEUES
from stream.config.settings import Limits, Source
from stream.config.signals import Signals
from stream.config.subjects import Subjects
from stream.connections.outbox import Outgoing
from stream.ingest.chunks import ChunkTracker
from stream.ingest.dead_letter import DeadLetter
from stream.ingest.sources import Decoder
from stream.names import Topics
from stream.processing.agents import chunk_agent
from stream.processing.pipeline import Pipeline
from stream.processing.telemetry import Telemetry
from stream.records import Alert, Scored, decode_scored
from stream.rules.rule_set import Match, RuleSet
from stream.signals.memory import SubjectWindows
from stream.signals.signal_store import Observed
from stream.subjects.finder import SubjectFinder
from stream.subjects.novelty import marked
from tests.until import until

DEADLINE_S = 10.0
BAD_NEWS = b'{"text": "negative fraud_security high", "tickers": ["HALC"]}'


class Gate:
    """An alert store and an outbox that wait, fail and remember as a test tells them."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.raised: list[tuple[Scored, Match]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.redis_failures = 0
        self.windows = SubjectWindows(Signals())
        self.turns = itertools.count(1)
        self.observed: list[int] = []
        self.firsts: dict[str, str] = {}
        self.error: Exception | None = None

    async def send(self, records: Sequence[Outgoing]) -> None:
        await self.open.wait()
        if self.error:
            raise self.error
        self.sent.extend(records)

    async def mark(self, batch: Sequence[Scored]) -> list[Scored]:
        """A text that was seen before is a copy."""
        if self.redis_failures:
            self.redis_failures -= 1
            raise RedisConnectionError("Redis is away")
        first = [self.firsts.setdefault(one.text, one.id) for one in batch]
        return [
            one if one.id == known else marked(one, 0.0, known)
            for one, known in zip(batch, first, strict=True)
        ]

    async def observe(self, batch: Sequence[Scored], asked: Collection[str]) -> Observed:
        if self.redis_failures:
            self.redis_failures -= 1
            raise RedisConnectionError("Redis is away")
        self.observed.append(len(batch))
        turns = [next(self.turns) for _ in batch]
        return Observed(
            [self.windows.observe(one) for one in batch], turns, {}, [None] * len(batch)
        )

    async def raise_alerts(self, matches: Sequence[tuple[Scored, Match]]) -> Raised:
        if self.redis_failures:
            self.redis_failures -= 1
            raise RedisConnectionError("Redis is away")
        self.raised.extend(matches)
        transitions: list[Alert | None] = [
            Alert(
                id=f"{fingerprint(match.rule.name, match.subject)}-1",
                fingerprint=fingerprint(match.rule.name, match.subject),
                episode=1,
                sequence=1,
                rule=match.rule.name,
                rule_version=match.rule.version,
                severity=match.rule.severity,
                state="firing",
                subject=match.subject,
                title=match.title,
                summary=match.summary,
                first_seen=scored.time,
                last_seen=scored.time,
                count=1,
                evidence=(evidence(scored),),
                signal={},
                model=scored.model,
            )
            for scored, match in matches
        ]
        return Raised(transitions, next(self.turns))


class Stand:
    """A pipeline with an agent on a hand-fed stream."""

    def __init__(
        self,
        predictor: StubPredictor | None = None,
        *,
        capacity: int = 100,
        max_batch_tokens: int = 256,
    ) -> None:
        self.gate = Gate()
        self.acks: list[int] = []
        self.telemetry = Telemetry()
        self.tracker = ChunkTracker(lambda: 1)
        self.pipeline = Pipeline(
            predictor=predictor or StubPredictor(),
            max_batch_tokens=max_batch_tokens,
            languages=("en",),
            subjects=SubjectFinder.load(Subjects()),
            rules=RuleSet.load(None),
            queues=DEFAULT_QUEUES,
            topics=Topics(),
            novelty=self.gate,
            signals=self.gate,
            alerts=self.gate,
            outbox=self.gate,
            tracker=self.tracker,
            telemetry=self.telemetry,
            capacity=capacity,
        )
        self.chunks: asyncio.Queue[Any] = asyncio.Queue()
        self._offset = 0

    def feed(self, *values: bytes | None, topic: str = "news") -> int:
        """One chunk of these record values; its number is what acks reports."""
        records = []
        for value in values:
            records.append(
                SimpleNamespace(
                    topic=topic,
                    partition=0,
                    offset=self._offset,
                    key=b"key",
                    value=value,
                    timestamp=1_780_000_000_000,
                    headers=(),
                )
            )
            self._offset += 1
        number = self._offset
        self.chunks.put_nowait(
            SimpleNamespace(
                message=SimpleNamespace(tp=TP(topic, 0)),
                value=records,
                ack=lambda: self.acks.append(number),
            )
        )
        return number

    def beside(self) -> Stand:
        """Another hand-fed stream into the same pipeline."""
        other = copy.copy(self)
        other.chunks, other.acks = asyncio.Queue(), []
        return other

    def noack(self) -> Stand:
        return self

    async def events(self) -> AsyncIterator[Any]:
        while True:
            yield await self.chunks.get()

    def values(self, topic: str) -> list[dict[str, Any]]:
        return [orjson.loads(record.value) for record in self.gate.sent if record.topic == topic]


@pytest.fixture
async def stands() -> AsyncIterator[Any]:
    running: list[tuple[Stand, asyncio.Task[None]]] = []

    def start(
        predictor: StubPredictor | None = None, *, kind: str = "news", **options: int
    ) -> Stand:
        stand = Stand(predictor, **options)
        decoder = Decoder(Source(topic=kind, kind=kind), Limits())  # type: ignore[arg-type]
        agent = chunk_agent(decoder, stand.tracker, stand.pipeline)
        stand.pipeline.start()
        running.append((stand, asyncio.ensure_future(agent(stand))))
        return stand

    yield start
    for stand, task in running:
        task.cancel()
        await stand.pipeline.stop(DEADLINE_S)


async def test_a_good_record_is_scored_and_its_chunk_acknowledged(stands: Any) -> None:
    stand = stands()
    number = stand.feed(b'{"id": "n-1", "text": "positive earnings low"}')
    await until(lambda: stand.acks == [number])
    (record,) = [record for record in stand.gate.sent if record.topic == "bellwether.scored"]
    scored = decode_scored(record.value)
    assert record.key == b"key"
    assert (scored.id, scored.model) == ("n-1", "stub")
    assert scored.heads["sentiment"].label == "positive"
    assert (scored.batch.size, scored.batch.released_by) == (1, "idle")
    assert stand.telemetry.in_flight == 0


async def test_nothing_is_acknowledged_before_kafka_has_confirmed(stands: Any) -> None:
    stand = stands()
    stand.gate.open.clear()
    number = stand.feed(b'{"text": "a"}', b"not json")
    await until(lambda: stand.pipeline.batcher.statistics().texts == 1)
    await asyncio.sleep(0)
    assert stand.acks == []
    stand.gate.open.set()
    await until(lambda: stand.acks == [number])


async def test_bad_records_become_dead_letters_and_their_neighbours_are_scored(
    stands: Any,
) -> None:
    stand = stands()
    number = stand.feed(b'{"text": "one"}', None, b"\xff", b'{"text": 7}', b'{"text": "two"}')
    await until(lambda: stand.acks == [number])
    assert [value["text"] for value in stand.values("bellwether.scored")] == ["one", "two"]
    letters = stand.values("bellwether.dead-letter")
    assert {letter["reason"] for letter in letters} == {"tombstone", "not_utf8", "wrong_type"}
    assert stand.telemetry.dead_letters.total() == 3


async def test_a_text_the_model_cannot_score_is_a_dead_letter_with_its_own_bytes(
    stands: Any,
) -> None:
    stand = stands(StubPredictor(fail_on="poison"))
    bad = b'{"text": "poison here"}'
    number = stand.feed(b'{"text": "fine"}', bad, b'{"text": "fine too"}')
    await until(lambda: stand.acks == [number])
    (record,) = [one for one in stand.gate.sent if one.topic == "bellwether.dead-letter"]
    letter = DeadLetter.decode(record.value)
    assert (letter.reason, letter.field, letter.value) == ("model_error", "text", bad)
    assert len(stand.values("bellwether.scored")) == 2


class Overtaken(StubPredictor):
    """Two lanes, a text a batch; a batch with the word "slow" waits until it is let go."""

    lanes = 2

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        if tokens == self.tokenize(["slow"]):
            assert self.let_go.wait(DEADLINE_S)
        return super().predict(tokens, kinds)


async def test_a_partitions_records_come_out_in_order_though_batches_overtake(stands: Any) -> None:
    predictor = Overtaken()
    stand = stands(predictor, max_batch_tokens=1)
    other = stand.beside()
    second = asyncio.ensure_future(
        chunk_agent(
            Decoder(Source(topic="social", kind="social"), Limits()),
            stand.tracker,
            stand.pipeline,
        )(other)
    )
    stand.feed(b'{"text": "slow"}', b'{"text": "two"}', b"no json", b'{"text": "three"}')
    other.feed(b'{"text": "another partition"}', topic="social")
    await until(lambda: stand.pipeline.held == 2)
    await until(lambda: other.acks)
    assert [one["text"] for one in stand.values("bellwether.scored")] == ["another partition"]
    assert len(stand.values("bellwether.dead-letter")) == 1
    predictor.let_go.set()
    await until(lambda: stand.acks)
    ours = [one["text"] for one in stand.values("bellwether.scored") if one["source"] == "news"]
    assert ours == ["slow", "two", "three"]
    assert stand.pipeline.held == 0
    second.cancel()


async def test_alerts_follow_their_scored_records_out(stands: Any) -> None:
    stand = stands()
    number = stand.feed(BAD_NEWS)
    await until(lambda: stand.acks == [number])
    (alert,) = stand.values("bellwether.alerts")
    assert alert["subject"] == "ticker:HALC"
    assert alert["evidence"][0]["text"] == "negative fraud_security high"
    assert stand.telemetry.alerts_by_source == {"news": 1}


async def test_a_copy_is_scored_and_linked_but_not_judged_again(stands: Any) -> None:
    stand = stands()
    bad = b'{"id": "%b", "text": "negative company_product high", "tickers": ["HALC"]}'
    number = stand.feed(bad % b"n-1", bad % b"n-2")
    await until(lambda: stand.acks == [number])
    first, second = stand.values("bellwether.scored")
    assert (first["copy_of"], first["novelty"]) == ("", 1.0)
    assert (second["copy_of"], second["novelty"]) == ("n-1", 0.0)
    assert [subject["novelty"] for subject in second["subjects"]] == [0.0, 0.0]
    assert [scored.id for scored, _ in stand.gate.raised] == ["n-1"]
    assert (stand.telemetry.scored, stand.telemetry.copies) == (2, 1)


def level_rules(folder: Path, threshold: int) -> RuleSet:
    path = folder / "rules.toml"
    path.write_text(
        "[[rule]]\nname = 'level'\nsubject = 'ticker'\nseverity = 'info'\ntitle = 't'\n"
        f"summary = 's'\nwhen = 'event.attributes.level > {threshold}'\n"
    )
    return RuleSet.load(path)


async def test_a_rule_that_fails_is_named_once_and_again_after_its_file_was_replaced(
    stands: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stand = stands()
    texts = (
        b"a wholly new story",
        b"quite another thing",
        b"profits rose this year",
        b"their pilots strike",
        b"it rains on Sunday",
    )
    unseen = iter(texts)

    async def told(level: bytes) -> int:
        event = b'{"text": "%b", "tickers": ["HALC"], "level": %b}'
        number = stand.feed(event % (next(unseen), level))
        await until(lambda: number in stand.acks)
        return caplog.text.count("rule level fails on an event")

    stand.pipeline.rules = level_rules(tmp_path, 3)
    assert [await told(b'"high"') for _ in range(2)] == [1, 1]
    repaired = level_rules(tmp_path, 4)
    repaired.succeed(stand.pipeline.rules)
    stand.pipeline.rules = repaired
    assert await told(b"5") == 1
    assert [await told(b'"high"') for _ in range(2)] == [2, 2]
    assert repaired.errors == {"level": 4}


async def test_the_log_tells_in_which_order_it_was_judged(stands: Any) -> None:
    stand = stands()
    acks = []
    for texts in ([b'{"text": "one"}', b'{"text": "two"}'], [BAD_NEWS, b'{"text": "three"}']):
        acks.append(stand.feed(*texts))
        await until(lambda: stand.acks == acks)
    sent = [one.value for one in stand.gate.sent if one.topic == "bellwether.scored"]
    # Where no verdict comes in, nothing else happens between the events and the next batch.
    assert [decode_scored(value).turn for value in sent] == [(1, 2), (2, 2), (3, 5), (4, 5)]


async def test_what_waits_is_judged_so_many_at_a_time(
    stands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.processing.pipeline.SHIPPED_AT_ONCE", 3)
    stand = stands()
    stand.gate.open.clear()
    numbers = [stand.feed(b'{"text": "first"}')]
    await until(lambda: stand.gate.observed == [1])
    numbers.append(stand.feed(*[b'{"text": "more"}'] * 7))
    await until(lambda: len(stand.pipeline._finished) == 7)
    stand.gate.open.set()
    await until(lambda: sorted(stand.acks) == numbers)
    assert stand.gate.observed == [1, 3, 3, 1]


async def test_redis_being_away_delays_and_loses_nothing(stands: Any) -> None:
    stand = stands()
    stand.gate.redis_failures = 3
    number = stand.feed(BAD_NEWS)
    await until(lambda: stand.acks == [number])
    assert len(stand.gate.raised) == 1
    assert len(stand.values("bellwether.alerts")) == 1


async def test_tickets_reach_their_queue_and_doubtful_ones_review(stands: Any) -> None:
    stand = stands(kind="ticket")
    number = stand.feed(
        b'{"id": "t-1", "text": "neutral cards low"}', b'{"id": "t-2", "text": "unsure cards low"}'
    )
    await until(lambda: stand.acks == [number])
    assert [value["id"] for value in stand.values("bellwether.tickets.cards")] == ["t-1"]
    assert [value["id"] for value in stand.values("bellwether.review")] == ["t-2"]
    assert (stand.telemetry.routed, stand.telemetry.reviewed) == (1, 1)


async def test_work_in_flight_stays_within_capacity(stands: Any) -> None:
    stand = stands(capacity=4)
    stand.gate.open.clear()
    for _ in range(5):
        stand.feed(*[b'{"text": "a"}'] * 2)
    await until(lambda: stand.telemetry.in_flight == 4)
    await until(lambda: stand.chunks.qsize() <= 2)
    assert stand.telemetry.in_flight == 4
    stand.gate.open.set()
    await until(lambda: len(stand.acks) == 5)


async def test_a_source_that_is_full_keeps_no_other_out(stands: Any) -> None:
    stand = stands(capacity=4)
    stand.gate.open.clear()
    stand.feed(*[b'{"text": "a"}'] * 4)
    await until(lambda: stand.telemetry.in_flight == 4)
    decoder = Decoder(Source(topic="tickets", kind="ticket"), Limits())
    agent = chunk_agent(decoder, stand.tracker, stand.pipeline)
    other = stand.beside()
    task = asyncio.ensure_future(agent(other))
    number = other.feed(b'{"text": "b"}', topic="tickets")
    await until(lambda: stand.telemetry.in_flight == 5)
    stand.gate.open.set()
    await until(lambda: number in other.acks)
    task.cancel()


async def test_a_chunk_larger_than_the_capacity_still_passes(stands: Any) -> None:
    stand = stands(capacity=2)
    number = stand.feed(*[b'{"text": "a"}'] * 7)
    await until(lambda: stand.acks == [number])


async def test_a_broken_model_ends_the_worker_and_acknowledges_nothing(stands: Any) -> None:
    stand = stands(StubPredictor(fail_on="the"))  # the probe text holds it too
    stand.feed(b'{"text": "the end"}')
    async with asyncio.timeout(DEADLINE_S):
        await stand.pipeline.broken
    assert stand.acks == []
    assert stand.gate.sent == []


async def test_an_error_nobody_foresaw_ends_the_worker_and_acknowledges_nothing(
    stands: Any,
) -> None:
    stand = stands()
    stand.gate.error = RuntimeError("a bug")
    stand.feed(b'{"text": "a"}')
    async with asyncio.timeout(DEADLINE_S):
        assert str(await stand.pipeline.broken) == "a bug"
    assert stand.acks == []
