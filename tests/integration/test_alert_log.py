"""The alerts of a span of the alert topic, whatever else stands there."""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta

import pytest
from msgspec.structs import replace

from stream.alerts.alert_log import read_alerts
from stream.config.settings import Settings, Source
from stream.connections.outbox import Outgoing, open_outbox
from stream.connections.topics import prepare_topics
from stream.records import encode, utc_now
from tests.fakes import alert

pytestmark = pytest.mark.kafka

DAY = timedelta(days=1)


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
    # Redis had forgotten the first one, so its id came back for an alert with fewer transitions.
    again = replace(one, first_seen=one.last_seen + DAY, last_seen=one.last_seen + DAY)
    late = replace(grown, sequence=3, first_seen=one.first_seen - DAY)
    told = (one, grown, one, other, again, late, again)
    async with open_outbox(settings.kafka) as outbox:
        await outbox.send([Outgoing(topic, b"k", encode(transition)) for transition in told])
        await outbox.send([Outgoing(topic, b"k", b'{"notification": 1}')])
        await outbox.send([Outgoing(topic, b"k", b'{"id": "\xff"}'), Outgoing(topic, b"k", None)])
    now = utc_now()
    with caplog.at_level(logging.WARNING):
        found = await read_alerts(
            settings, since=now - timedelta(hours=1), until=now + timedelta(hours=1)
        )
    assert [(alert.id, alert.sequence, alert.first_seen) for alert in found] == [
        (one.id, 3, late.first_seen),
        (other.id, 1, other.first_seen),
        (one.id, 1, again.first_seen),
    ]
    assert f"3 records on {topic} are no transitions" in caplog.text
    earlier = await read_alerts(
        settings, since=now - timedelta(hours=2), until=now - timedelta(hours=1)
    )
    assert earlier == []
    later = now + timedelta(hours=1)
    assert await read_alerts(settings, since=later, until=later + timedelta(hours=1)) == []
