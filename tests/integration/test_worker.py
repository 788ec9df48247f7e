"""A worker on embedded parts and on the real ones behaves the same."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from redis.asyncio import Redis

from models.stub import StubPredictor
from stream.alerts.store import AlertStore
from stream.alerts.sweeper import Sweeper
from stream.config.settings import Settings
from stream.connections.kafka_outage import kafka_outage
from stream.connections.topics import prepare_topics
from stream.connections.unpack import MAX_UNPACKED_BYTES
from stream.console.lag import lag_of
from stream.names import Keys
from stream.operations.dead_letter_log import list_dead_letters
from stream.runtime.errors import StartError
from stream.worker.app import Worker
from stream.worker.monitor import WorkerMonitor
from tests.conftest import Stack
from tests.integration.traffic import DEADLINE_S, publish, read, settle


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Worker]:
    worker = Worker(settings, StubPredictor())
    await worker.start()
    try:
        yield worker
    finally:
        assert await worker.stop()


async def test_three_sources_reach_every_output(settings: Settings) -> None:
    async with running(settings) as worker:
        news = [
            orjson.dumps({"id": f"n-{n}", "text": "negative fraud_security high", "tickers": ["A"]})
            for n in range(40)
        ]
        posts = [orjson.dumps({"id": f"s-{n}", "text": "positive low"}) for n in range(40)]
        tickets = [
            orjson.dumps({"id": f"t-{n}", "text": "neutral cards low"}) for n in range(39)
        ] + [b'{"id": "t-39", "text": "unsure"}']
        for place, values in enumerate((news, posts, tickets)):
            await publish(settings, place, *values)
        await publish(settings, 0, b"not json", b'{"text": 5}')
        await settle(worker, 122)
        topics = settings.topics
        scored = await read(settings, topics.scored, 120)
        assert Counter(record["source"] for record in scored) == {
            "news": 40,
            "social": 40,
            "ticket": 40,
        }
        assert len({record["id"] for record in scored}) == 120
        assert len(await read(settings, topics.queue("cards"), 39)) == 39
        assert [record["id"] for record in await read(settings, topics.review, 1)] == ["t-39"]
        alerts = await read(settings, topics.alerts, 40)
        assert max(alert["count"] for alert in alerts) == 40

        letters = (await list_dead_letters(settings, limit=10)).letters
        assert {letter.reason for letter in letters} == {"not_json", "wrong_type"}
        assert {letter.value for letter in letters} == {b"not json", b'{"text": 5}'}
        assert len((await list_dead_letters(settings, limit=1)).letters) == 1

        async with Redis.from_url(settings.redis.url) as client:
            (alert,) = await AlertStore(client, Keys(), settings.alerting).list_open(10)
        assert (alert.count, alert.subject) == (40, "ticker:A")


async def test_sources_may_be_compressed_in_every_way_kafka_knows(settings: Settings) -> None:
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    async with running(settings) as worker:
        for codec in codecs:
            producer = Producer(
                {"bootstrap.servers": settings.kafka.bootstrap, "compression.type": codec}
            )
            for n in range(20):
                value = orjson.dumps({"id": f"{codec}-{n}", "text": "as long as it is new " * 9})
                producer.produce(settings.sources[0].topic, value)
            assert await asyncio.to_thread(producer.flush, DEADLINE_S) == 0
        await settle(worker, 20 * len(codecs))
    scored = await read(settings, settings.topics.scored, 20 * len(codecs))
    assert {record["id"] for record in scored} == {f"{c}-{n}" for c in codecs for n in range(20)}


async def test_a_restarted_worker_goes_on_where_the_first_one_stopped(settings: Settings) -> None:
    # Only when it is over does the embedded broker give away what the first one had.
    kafka = settings.kafka.model_copy(update={"session_timeout_s": 6.0})
    settings = settings.model_copy(update={"kafka": kafka})
    first = [orjson.dumps({"id": f"a-{n}", "text": "one"}) for n in range(30)]
    second = [orjson.dumps({"id": f"b-{n}", "text": "two"}) for n in range(30)]
    async with running(settings) as worker:
        await publish(settings, 0, *first)
        await settle(worker, 30)
    await publish(settings, 0, *second)
    async with running(settings) as worker:
        await settle(worker, 30)
        assert worker.telemetry.scored == 30
    scored = await read(settings, settings.topics.scored, 60)
    assert Counter(record["id"] for record in scored) == Counter(
        f"{part}-{n}" for part in "ab" for n in range(30)
    )


async def no_lag(worker: Worker, topic: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            await worker.watchdog.look()
            lags = worker.watchdog.lags
            if any(place[0] == topic for place in lags) and not any(lags.values()):
                return
            await asyncio.sleep(0.05)


REAL = pytest.param("real", marks=[pytest.mark.kafka, pytest.mark.redis])


@pytest.mark.parametrize("stack", [REAL], indirect=True)
async def test_only_what_transactions_committed_is_scored_and_what_is_no_record_is_no_lag(
    settings: Settings, stack: Stack
) -> None:
    topic = settings.sources[0].topic
    server = {"bootstrap.servers": settings.kafka.bootstrap}

    def write() -> None:
        producer = Producer({**server, "transactional.id": stack.name})
        producer.init_transactions(DEADLINE_S)
        for name, end in (
            ("undone", producer.abort_transaction),
            ("kept", producer.commit_transaction),
        ):
            producer.begin_transaction()
            value = orjson.dumps({"id": name, "text": "negative high"})
            producer.produce(topic, value, partition=0)
            # Else what is undone would never have been written.
            assert producer.flush(DEADLINE_S) == 0
            end(DEADLINE_S)

    async with running(settings) as worker:
        await asyncio.to_thread(write)
        await settle(worker, 1)
        await no_lag(worker, topic)
        assert worker.telemetry.settled == 1
    (scored,) = await read(settings, settings.topics.scored, 1)
    assert scored["id"] == "kept"

    def forget() -> None:
        admin = AdminClient(server)
        for done in admin.delete_records([TopicPartition(topic, 0, OFFSET_END)]).values():
            done.result(DEADLINE_S)

    await asyncio.to_thread(forget)
    kafka = settings.kafka.model_copy(update={"group": f"{stack.name}-late"})
    late = settings.model_copy(update={"kafka": kafka})
    assert (await lag_of(late))[0].records == 0
    async with running(late) as worker:
        await no_lag(worker, topic)


async def test_a_worker_at_work_has_no_files_that_a_kill_would_leave(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with running(settings) as worker:
        await publish(settings, 0, b'{"text": "neutral"}')
        await settle(worker, 1)
        assert await asyncio.to_thread(os.listdir, tmp_path) == []


async def test_what_a_worker_says_of_itself(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it = asyncio.Event()

    async def broken_sweeper(_self: Sweeper) -> None:
        await break_it.wait()
        raise RuntimeError("the test broke it")

    monkeypatch.setattr(Sweeper, "_sweep_for_ever", broken_sweeper)
    worker = Worker(settings, StubPredictor())
    monitor = WorkerMonitor(worker)
    assert monitor.health().ok
    assert not (await monitor.ready()).ok
    assert b"bellwether_model_info" in monitor.metrics()
    await worker.start()
    try:
        await publish(settings, 0, *(b'{"text": "negative high", "tickers": ["A"]}',) * 20, b"bad")
        await settle(worker, 21)
        topic = settings.sources[0].topic
        await no_lag(worker, topic)
        report = await monitor.ready()
        assert report.ok, report
        assert report.details["redis"] == "takes writes"
        page = monitor.metrics().decode().splitlines()
        assert 'bellwether_events_total{source="news"} 20.0' in page
        assert 'bellwether_dead_letters_total{reason="not_json"} 1.0' in page
        assert f'bellwether_lag_records{{partition="0",topic="{topic}"}} 0.0' in page
        assert "bellwether_latency_seconds_count 20.0" in page
        assert any(line.startswith("bellwether_alert_transitions_total{") for line in page)
        break_it.set()  # a task beside the stream, which nothing waits for
        with pytest.raises(StartError, match="the test broke it"):
            await asyncio.wait_for(worker.run(asyncio.Event()), DEADLINE_S)
        assert monitor.health().details == {"worker": "RuntimeError: the test broke it"}
        assert not monitor.health().ok
    finally:
        assert await worker.stop()


async def test_kafka_serves_until_fewer_copies_are_in_step_than_a_topic_needs(
    settings: Settings, stack: Stack
) -> None:
    await prepare_topics(settings)
    assert await kafka_outage(settings) == ""
    if stack.kind == "embedded":  # it has no settings of topics
        return
    topic = settings.topics.scored
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    more = ConfigEntry("min.insync.replicas", "2", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[more])
    changed = admin.incremental_alter_configs([resource])[resource]
    await asyncio.to_thread(changed.result, DEADLINE_S)
    async with asyncio.timeout(DEADLINE_S):
        while not (said := await kafka_outage(settings)):
            await asyncio.sleep(0.05)
    assert said.startswith("only 1 of 1 copies of partition ")
    assert f"of {topic} are in step, and it needs 2;" in said


async def test_a_tombstone_and_a_record_too_large_are_dead_letters(settings: Settings) -> None:
    large = orjson.dumps({"id": "big", "text": "x" * 900_000, "more": "y" * 90_000})
    limited = settings.model_copy(
        update={"limits": settings.limits.model_copy(update={"max_record_bytes": 500_000})}
    )
    async with running(limited) as worker:
        await publish(limited, 0, large, None)
        await settle(worker, 2)
        letters = (await list_dead_letters(limited, limit=10)).letters
    assert {(letter.reason, letter.value) for letter in letters} == {
        ("oversize", large),
        ("tombstone", None),
    }


async def test_a_key_or_header_too_large_to_pass_on_stops_nothing(settings: Settings) -> None:
    topic = settings.sources[0].topic
    async with running(settings) as worker:
        packed = {"compression.type": "zstd", "message.max.bytes": 100_000_000}
        writer = Producer({"bootstrap.servers": settings.kafka.bootstrap, **packed})
        writer.produce(topic, b'{"id": "key", "text": "x"}', key=bytes(20_000_000), partition=0)
        heavy = [("trace", bytes(20_000_000)), ("empty", None)]
        writer.produce(topic, b"no json", key=b"k", headers=heavy, partition=0)
        assert await asyncio.to_thread(writer.flush, DEADLINE_S) == 0
        await publish(settings, 0, b'{"id": "after", "text": "goes on"}')
        await settle(worker, 3)
        letters = (await list_dead_letters(settings, limit=10)).letters
    assert {(letter.reason, letter.key, letter.left_out) for letter in letters} == {
        ("oversize", None, ("key",)),
        ("oversize", b"k", ("headers",)),
    }
    (scored,) = await read(settings, settings.topics.scored, 1)
    assert scored["id"] == "after"


async def test_a_batch_that_unpacks_to_too_much_is_one_dead_letter_and_the_stream_goes_on(
    settings: Settings,
) -> None:
    async with running(settings) as worker:
        bomb = Producer(
            {
                "bootstrap.servers": settings.kafka.bootstrap,
                "compression.type": "zstd",
                "message.max.bytes": 2 * MAX_UNPACKED_BYTES,
            }
        )
        bomb.produce(settings.sources[0].topic, bytes(MAX_UNPACKED_BYTES))
        assert await asyncio.to_thread(bomb.flush, DEADLINE_S) == 0
        await publish(settings, 0, b'{"id": "after", "text": "goes on"}')
        await settle(worker, 2)
        (letter,) = (await list_dead_letters(settings, limit=10)).letters
    assert (letter.reason, letter.origin.offset) == ("oversize", 0)
    assert f"unpacks to more than {MAX_UNPACKED_BYTES} bytes with zstd" in letter.detail
    assert 0 < len(letter.value or b"") < 10_000
    (scored,) = await read(settings, settings.topics.scored, 1)
    assert scored["id"] == "after"
