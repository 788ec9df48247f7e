"""python -m tests.acceptance.replay FILE: does a backtest of a worker's log say what it alerted?

A file of events goes through one worker on a real Kafka, a partition a topic, with the shipped
rules; then `bellwether backtest` runs over what the worker wrote.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from tests.acceptance.deployment import Deployment, values
from tests.acceptance.workload import TOPICS, Record
from tests.kafka_server import kafka_server
from tests.redis_server import redis_server

# The marks of the notifier are transitions too, and a backtest notifies nobody.
SETTINGS = """
[alerting]
flapping_episodes = 1000000
"""
LEAST_A_S = 20


def essence(alert: dict[str, Any]) -> tuple[Any, ...]:
    """What must be the same of an alert, live and in a backtest."""
    names = ("id", "fingerprint", "episode", "rule", "subject", "severity", "state", "count")
    return *(alert[name] for name in names), alert["first_seen"], alert["last_seen"]


def _records(file: Path) -> Iterator[Record]:
    read = gzip.open if file.suffix == ".gz" else open
    with read(file, "rb") as lines:
        for line in lines:
            yield TOPICS[orjson.loads(line)["source"]], None, line.strip()


async def _compare(file: Path, folder: Path) -> bool:
    places = [folder / "kafka", folder / "redis"]
    for place in places:
        place.mkdir()
    records = list(_records(file))
    with kafka_server(places[0]) as kafka, redis_server(places[1]) as redis:
        deployment = Deployment(kafka.bootstrap, redis.url, folder, SETTINGS, partitions=1)
        try:
            deployment.start_worker()
            await deployment.ready()
            began = time.monotonic()
            await deployment.publish(records)
            scored = await deployment.read(
                "scored",
                lambda found: len(found) >= len(records),
                deadline_s=60 + len(records) / LEAST_A_S,
            )
            print(f"{len(scored)} scored in {time.monotonic() - began:.0f} s")
            printed = deployment.command("backtest", "--since", "1d", "--json").stdout
            backtest = json.loads(printed)["result"]
            # The alerts of the last micro-batch follow its scored records.
            enough = backtest["transitions"]
            live = values(await deployment.read("alerts", lambda found: len(found) >= enough))
        finally:
            deployment.close()
    latest = {essence(alert) for alert in {alert["id"]: alert for alert in live}.values()}
    judged = {essence(alert) for alert in backtest["alerts"]}
    print(f"live: {len(live)} transitions of {len(latest)} alerts")
    print(f"backtest: {enough} transitions of {len(judged)} alerts")
    for name, others in (("live", latest - judged), ("backtest", judged - latest)):
        for one in sorted(others, key=str):
            print(f"only {name}: {one}")
    return latest == judged and len(live) == enough


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("file", type=Path, help="JSON lines, also as .gz, as `publish` takes")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bellwether-replay-") as folder:
        same = asyncio.run(_compare(chosen.file, Path(folder)))
    print("the same" if same else "not the same")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
