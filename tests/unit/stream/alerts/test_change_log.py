"""What people and the sweeper did to alerts reaches the topic, also what the stream has lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis

from stream.alerts.change_log import ChangeLog
from stream.alerts.lifecycle import Lifecycle
from stream.alerts.store import AlertStore
from stream.config.settings import Alerting
from stream.connections.outbox import Outgoing
from stream.names import Keys
from stream.records import Alert, decode_alert
from stream.rules.rule_set import Match, Rule
from tests.fakes import scored
from tests.until import until

KEYS, ALERTING = Keys(), Alerting()
RULE = Rule(name="r", when="true", subject="ticker", severity="warning", title="t")


class Topic:
    def __init__(self) -> None:
        self.told: list[Alert] = []

    async def send(self, records: Sequence[Outgoing]) -> None:
        self.told += [decode_alert(record.value or b"") for record in records]


async def fire(client: Redis, name: str) -> Alert:
    found = Match(RULE, f"ticker:{name}", "title", "summary")
    raised = await AlertStore(client, KEYS, ALERTING).raise_alerts([(scored(id=name), found)])
    (alert,) = raised.transitions
    return alert


async def publish_until(client: Redis, topic: Topic, done: Callable[[], Any]) -> None:
    log = ChangeLog(client, KEYS, ALERTING, topic, "alerts")
    log.start()
    try:
        await until(done)
    finally:
        await log.stop()


async def test_changes_that_the_stream_lost_before_they_were_read_are_told_as_they_stand(
    client: Redis,
) -> None:
    a, b, untouched = [await fire(client, name) for name in "ABC"]
    desk, topic = Lifecycle(client, KEYS, ALERTING), Topic()
    await desk.acknowledge(a.id, by="ann")
    # What it has told it knows only once it has kept its position.
    await publish_until(client, topic, lambda: client.exists(KEYS.notify("published")))
    assert len(topic.told) == 1
    # As where the worker that publishes was away while more came than the stream holds.
    await desk.resolve(a.id, by="bob")
    await desk.resolve(b.id, by="bob")
    await client.xtrim(KEYS.alerts_stream, maxlen=0, approximate=False)
    last = await fire(client, "D")
    await desk.acknowledge(last.id, by="ann")
    topic.told.clear()
    await publish_until(client, topic, lambda: last.id in {one.id for one in topic.told})
    stands = {one.id: (one.state, one.sequence) for one in topic.told}
    assert stands == {
        a.id: ("resolved", 3),
        b.id: ("resolved", 2),
        last.id: ("acknowledged", 2),
    }
    assert untouched.id not in stands
