"""The alerts of a span of the alert topic, whatever else stands there."""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta

import pytest
from msgspec.structs import replace

from stream.alerts.alert_log import read_alerts
from stream.connection import kafka_arguments
from stream.outbox import Outbox, Outgoing
from stream.records import encode, utc_now
from stream.settings import Settings, Source
from stream.topics import prepare_topics
from tests.fakes import alert

pytestmark = pytest.mark.kafka


@pytest.fixture
def settings(kafka: str) -> Settings:
    base = Settings()
    name = f"log-{uuid.uuid4().hex[:8]}"
    ours = {"bootstrap": kafka, "prefix": f"{name}.", "partitions": 2}
    sources = (Source(topic=f"{name}.news", kind="news"),)
    return base.model_copy(update={"kafka": base.kafka.model_copy(update=ours), "sources": sources})


async def test_each_alert_is_as_its_last_transition_left_it_and_strangers_are_counted(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await prepare_topics(settings)
    topic = settings.topics.alerts
    one, other = alert(), replace(alert(), id="b" * 16 + "-1", fingerprint="b" * 16)
    grown = replace(one, sequence=2, state="updated")
    outbox = Outbox(kafka_arguments(settings.kafka))
    await outbox.start()
    await outbox.send([Outgoing(topic, b"k", encode(told)) for told in (one, grown, one, other)])
    await outbox.send([Outgoing(topic, b"k", b'{"notification": 1}')])
    await outbox.send([Outgoing(topic, b"k", b'{"id": "\xff"}'), Outgoing(topic, b"k", None)])
    await outbox.stop()
    now = utc_now()
    with caplog.at_level(logging.WARNING):
        found = await read_alerts(
            settings, since=now - timedelta(hours=1), until=now + timedelta(hours=1)
        )
    assert sorted((told.id, told.sequence) for told in found) == [(one.id, 2), (other.id, 1)]
    assert f"3 records on {topic} are no transitions" in caplog.text
    earlier = await read_alerts(
        settings, since=now - timedelta(hours=2), until=now - timedelta(hours=1)
    )
    assert earlier == []
    later = now + timedelta(hours=1)
    assert await read_alerts(settings, since=later, until=later + timedelta(hours=1)) == []
