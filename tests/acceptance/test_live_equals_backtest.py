"""What a worker alerted live is what a backtest of its own log alerts: real Kafka and Redis."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.acceptance.deployment import BELLWETHER, STUB_WORKER, Deployment, values
from tests.acceptance.replay import essence
from tests.acceptance.workload import TOPICS, Record, texts

EVENTS = 900
COMPANIES = ("NORR", "HALC", "BRYN")
BEGIN = 1_780_000_000

# Every kind of state there is: a wait, an end by condition, a cooldown, quiet times, windows.
RULES = """
[[rule]]
name = "bad"
when = 'sentiment.label == "negative" && !sentiment.abstained'
subject = "ticker"
severity = "warning"
quiet = "20m"
title = "Bad: {subject}"

[[rule]]
name = "tone"
when = 'signal.scored >= 2.0 && signal.sentiment_z <= -0.5'
resolve = 'signal.sentiment_z > 0.2'
cooldown = "30m"
subject = "ticker"
severity = "critical"
title = "{subject}: {signal.sentiment_z}"

[[rule]]
name = "long-dull"
when = 'signal.sentiment <= 0.3'
for = "30m"
subject = "source"
severity = "info"
title = "{subject} has been dull"

[[rule]]
name = "much"
when = 'signal.volume >= 1.5 && subject.relevance > 0.5'
resolve = 'signal.volume < 1.2'
subject = "customer"
severity = "info"
title = "{subject} writes much"
labels = { team = "desk" }
"""

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]


def records(partitions: int) -> Iterator[Record]:
    """Event times a minute apart, a fifth of them out of order, companies and customers few."""
    chance = random.Random(7)
    sources = {kind: texts(kind) for kind in TOPICS}
    for number in range(EVENTS):
        kind = ("news", "social", "ticket")[number % 3]
        late = chance.randrange(1_800) if chance.random() < 0.2 else 0
        event: dict[str, Any] = {
            "id": f"{kind}-{number}",
            "text": sources[kind][number // 3 % len(sources[kind])],
            "time": BEGIN + 60 * number - late,
        }
        if kind == "ticket":
            event["customer"] = f"c-{number % 5}"
        else:
            event["tickers"] = [COMPANIES[number % len(COMPANIES)]]
        # One key a partition, so that the order within it is that of publishing.
        key = f"k{number % partitions}".encode()
        yield TOPICS[kind], key, orjson.dumps(event)


@pytest.fixture
def deployment(
    request: pytest.FixtureRequest, kafka: str, redis_url: str, tmp_path: Path
) -> Iterator[Deployment]:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    settings = f"""
        [alerting]
        rules = "{rules}"
        # The marks of the notifier are transitions too, and a backtest notifies nobody.
        flapping_episodes = 1000
        [signals]
        min_baseline = 3
        """
    partitions, worker = request.param
    running = Deployment(kafka, redis_url, tmp_path, settings, partitions=partitions, worker=worker)
    yield running
    running.close()


@pytest.mark.parametrize(
    ("deployment", "workers"),
    # Without a model's time two workers judge at the same moment far more often than they would.
    [((1, BELLWETHER), 1), ((4, STUB_WORKER), 1), ((4, STUB_WORKER), 2)],
    indirect=["deployment"],
    ids=["one partition", "four partitions", "two workers"],
)
async def test_a_backtest_of_the_log_gives_the_alerts_of_the_stream(
    deployment: Deployment, workers: int
) -> None:
    for _ in range(workers):
        deployment.start_worker()
    await deployment.shared_by(workers)
    await deployment.publish(records(deployment.partitions))
    await deployment.read("scored", lambda found: len(found) >= EVENTS)
    live = values(await deployment.read("alerts", lambda found: len(found) > 0))
    # The alerts of the last micro-batch follow its scored records.
    printed = deployment.command("backtest", "--since", "1d", "--json")
    backtest = json.loads(printed.stdout)
    transitions = backtest["result"]["transitions"]
    live = values(await deployment.read("alerts", lambda found: len(found) >= transitions))

    assert (backtest["records"], backtest["repeats"]) == (EVENTS, 0)
    states = {alert["state"] for alert in live}
    assert states == {"firing", "updated", "resolved"}
    assert {alert["rule"] for alert in live} == {"bad", "tone", "long-dull", "much"}
    # Transitions of one alert that two workers caused may reach the topic in another order.
    live.sort(key=lambda alert: alert["sequence"])
    latest = {alert["id"]: alert for alert in live}
    rows = {alert["id"]: alert for alert in backtest["result"]["alerts"]}
    # The same fingerprints and episodes, whoever judged, and whatever came in between.
    assert rows.keys() == latest.keys()
    assert len(live) == transitions
    assert {essence(alert) for alert in rows.values()} == {
        essence(alert) for alert in latest.values()
    }
    for alert_id, alert in latest.items():
        assert rows[alert_id]["signal"] == alert["signal"], alert_id
        assert rows[alert_id]["sequence"] == alert["sequence"], alert_id
