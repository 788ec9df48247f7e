"""A deployment under load and a seeded schedule of faults, and an oracle that knows the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka.structs import ConsumerRecord
from redis.asyncio import Redis

from stream.ingest.dead_letter import DeadLetter
from stream.records import Scored, decode_scored
from stream.rules.rule_set import RuleSet
from tests.acceptance.deployment import BELLWETHER, DEADLINE_S, Deployment
from tests.acceptance.waits import Waits
from tests.acceptance.workload import SORTS, Record, bad_records, good_records
from tests.kafka_cluster import KafkaCluster
from tests.kafka_server import KafkaServer
from tests.redis_server import RedisServer
from tests.server_process import free_ports

# Longer than the session time-out of tests/acceptance/deployment.py, 6 s.
ASLEEP_S = 9.0
# Longer than a killed broker counts as alive, so that its partitions get another leader.
LEADERLESS_S = 8.0
OUTAGE_S = 20.0
PUBLISHED_TOGETHER = 30
BAD_SHARE = 10
CUTS = 20
# The last is longer than redis.timeout_s.
PAUSES_MS = (2_000, 2_000, 6_000)
RULES_FILE = "rules.toml"
# Each looks at one event alone, copies too, so that the alerts follow from the scored records.
RULES = """
[[rule]]
name = "bad-for-company"
when = 'sentiment.label == "negative" && event.novelty >= 0.0'
subject = "ticker"
severity = "warning"
title = "Bad for {subject}"
summary = "{text}"

[[rule]]
name = "angry-customer"
sources = ["ticket"]
when = 'sentiment.label == "negative" && event.novelty >= 0.0'
subject = "customer"
severity = "info"
title = "{subject} is angry"
summary = "{text}"
"""


Found = Sequence[ConsumerRecord[bytes, bytes]]


def settings_with_rules(folder: Path) -> str:
    """For more_settings of the deployment."""
    (folder / RULES_FILE).write_text(RULES)
    return f'[alerting]\nrules = "{folder / RULES_FILE}"'


@dataclass
class Stage:
    """Two workers or more on a Kafka and a Redis of their own, and what has been done to them."""

    deployment: Deployment
    kafka: KafkaServer | KafkaCluster
    redis: RedisServer
    chance: random.Random
    done: list[str] = field(default_factory=list)
    # When each event was handed to Kafka, by its id: the key of its record.
    sent: dict[str, float] = field(default_factory=dict)

    def _victim(self) -> Any:
        running = [one for one in self.deployment.processes if one.poll() is None]
        return self.chance.choice(running)

    async def kill_worker(self) -> None:
        victim = self._victim()
        victim.kill()
        victim.wait()
        self.deployment.start_worker()

    async def replace_worker(self) -> None:
        """In good order: another joins, then this one leaves."""
        victim = self._victim()
        self.deployment.start_worker()
        await asyncio.sleep(self.chance.uniform(0, 3))
        victim.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(victim.wait, DEADLINE_S) == 0, self.deployment.tail()

    async def zombie(self) -> None:
        """A worker sleeps until others have its partitions, and wakes up with old work in hand."""
        victim = self._victim()
        victim.send_signal(signal.SIGSTOP)
        await asyncio.sleep(ASLEEP_S)
        victim.send_signal(signal.SIGCONT)

    async def kill_redis(self) -> None:
        self.redis.kill()
        await asyncio.sleep(self.chance.uniform(0.5, 3))
        await asyncio.to_thread(self.redis.start)

    async def cut_redis(self) -> None:
        """Every connection is cut, again and again, so that some are in mid-pipeline."""
        async with Redis.from_url(self.redis.url) as client:
            for _ in range(CUTS):
                await client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(self.chance.uniform(0, 0.2))

    async def empty_redis(self) -> None:
        """Redis comes back without its memory."""
        self.redis.kill()
        await asyncio.to_thread(self.redis.start)
        await asyncio.to_thread(self.redis.flush)

    async def fill_redis(self) -> None:
        """Redis is out of memory: it reads and deletes, and refuses every write that could grow."""
        async with Redis.from_url(self.redis.url) as client:
            before = await client.config_get("maxmemory", "maxmemory-policy")
            await client.config_set("maxmemory-policy", "noeviction")
            await client.config_set("maxmemory", 1)
            await asyncio.sleep(self.chance.uniform(1, 4))
            for name, value in before.items():
                await client.config_set(name, value)

    async def freeze_redis(self) -> None:
        """Redis is the read-only replica of a master that isn't there; it keeps its data."""
        async with Redis.from_url(self.redis.url) as client:
            await client.config_set("replica-read-only", "yes")
            await client.replicaof("127.0.0.1", str(free_ports(1)[0]))
            await asyncio.sleep(self.chance.uniform(1, 4))
            await client.replicaof("NO", "ONE")

    async def slow_redis(self) -> None:
        """Redis answers nobody for seconds, again and again."""
        async with Redis.from_url(self.redis.url) as client:
            for pause_ms in PAUSES_MS:
                await client.client_pause(pause_ms)
                await asyncio.sleep(pause_ms / 1000 + self.chance.uniform(0, 0.5))

    async def kill_kafka(self) -> None:
        self.kafka.kill()
        await asyncio.sleep(self.chance.uniform(1, 10))
        await asyncio.to_thread(self.kafka.start)

    async def kill_leader(self) -> None:
        """The broker that leads a partition of the news dies; another leads, then it comes back."""
        assert isinstance(self.kafka, KafkaCluster)
        leader = await asyncio.to_thread(self.kafka.leader, self.deployment.topic("news"), 0)
        leader.kill()
        await asyncio.sleep(LEADERLESS_S)
        await asyncio.to_thread(leader.start)

    async def outage_of_kafka(self) -> None:
        """Every broker is killed, and for so long that all who wait have tried many times."""
        self.kafka.kill()
        await asyncio.sleep(OUTAGE_S)
        await asyncio.to_thread(self.kafka.start)

    async def suffer(self, faults: Sequence[str], *, pause_s: float) -> None:
        for name in faults:
            fault: Callable[[], Awaitable[None]] = getattr(self, name)
            await fault()
            self.done.append(name)
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * pause_s)


@contextlib.contextmanager
def staged(
    kafka: KafkaServer | KafkaCluster,
    redis: RedisServer,
    folder: Path,
    chance: random.Random,
    *,
    more_settings: str = "",
    worker: Sequence[str] = BELLWETHER,
) -> Iterator[Stage]:
    """A deployment with rules of its own, closed at the end; no worker runs yet."""
    deployment = Deployment(
        kafka.bootstrap,
        redis.url,
        folder,
        more_settings=f"{settings_with_rules(folder)}\n{more_settings}",
        worker=worker,
    )
    try:
        yield Stage(deployment, kafka, redis, chance)
    finally:
        deployment.close()


def workload(events: int, chance: random.Random) -> tuple[dict[str, Record], list[Record]]:
    """Good records by id, and all in order of publishing: one in ten is malformed, in bursts."""
    good = good_records(events)
    every_sort = list(bad_records(1 + events // (BAD_SHARE * 10)))
    bad = [chance.choice(every_sort) for _ in range(events // (BAD_SHARE - 1))]
    records = list(good.values())
    while bad:
        at, burst = chance.randrange(len(records)), chance.randint(1, 20)
        records[at:at] = bad[:burst]
        del bad[:burst]
    return good, records


async def publish_through(
    stage: Stage,
    records: Sequence[Record],
    faults: Sequence[str],
    *,
    seconds: float,
    pause_s: float,
) -> None:
    """Send the records over that many seconds while the stage suffers the faults in turn."""
    parts = [
        records[at : at + PUBLISHED_TOGETHER] for at in range(0, len(records), PUBLISHED_TOGETHER)
    ]
    # One producer, connected before the first fault: it waits out a Kafka that is killed, where
    # a new one could not even start.
    async with stage.deployment.publisher() as publish:

        async def send_slowly() -> None:
            for part in parts:
                stage.sent |= {key.decode(): time.time() for _, key, _ in part if key}
                await publish(part)
                await asyncio.sleep(seconds / len(parts))

        await asyncio.gather(send_slowly(), stage.suffer(faults, pause_s=pause_s))


@dataclass(frozen=True)
class Verdict:
    """What came out against what went in; repeats are allowed on topics and only counted."""

    missing: set[str]
    invented: set[str]
    dead_letters: Counter[str]
    dead_letters_expected: Counter[str]
    alerts: dict[str, int]
    alerts_expected: dict[str, int]
    released_by: Counter[str]
    scored_repeats: int
    dead_letter_repeats: int
    waits: Waits

    def problems(self, *, redis_was_emptied: bool = False) -> list[str]:
        found = []
        if self.missing:
            found.append(f"{len(self.missing)} events were not scored: {sorted(self.missing)[:5]}")
        if self.invented:
            found.append(f"scored but never sent: {sorted(self.invented)[:5]}")
        if self.dead_letters != self.dead_letters_expected:
            found.append(f"dead letters {self.dead_letters}, not {self.dead_letters_expected}")
        if not redis_was_emptied and self.alerts != self.alerts_expected:
            wrong = {
                name: (self.alerts.get(name), self.alerts_expected.get(name))
                for name in self.alerts.keys() | self.alerts_expected.keys()
                if self.alerts.get(name) != self.alerts_expected.get(name)
            }
            found.append(f"alerts and their counts (found, expected): {wrong}")
        return found


async def judge(
    stage: Stage,
    good: dict[str, Record],
    records: Sequence[Record],
    *,
    deadline_s: float = 2 * DEADLINE_S,
) -> Verdict:
    """Wait until everything sent has come out, and hold it against the oracle."""
    deployment = stage.deployment
    bad = len(records) - len(good)
    events: dict[str, Scored] = {}
    letters: dict[str, DeadLetter] = {}
    came: dict[str, float] = {}

    def every_event(found: Found) -> bool:
        for record in fresh(found, "scored"):
            event = decode_scored(record.value)
            events[event.id] = event
            came.setdefault(event.id, record.timestamp / 1_000)
        return events.keys() >= good.keys()

    def every_letter(found: Found) -> bool:
        for record in fresh(found, "dead-letter"):
            letter = DeadLetter.decode(record.value)
            letters[letter.id] = letter
        return len(letters) >= bad

    # Each record is decoded once, however many there are.
    seen: Counter[str] = Counter()

    def fresh(found: Found, topic: str) -> Found:
        since, seen[topic] = seen[topic], len(found)
        return found[since:]

    scored = await deployment.read("scored", every_event, deadline_s=deadline_s)
    every_event(scored)
    dead_letters = await deployment.read("dead-letter", every_letter, deadline_s=deadline_s)
    every_letter(dead_letters)
    rules = RuleSet.load(deployment.folder / RULES_FILE)
    # All events lie within one alerting.quiet_s, so that each rule and subject has one episode.
    expected = Counter(
        f"{match.rule.name} {match.subject}"
        for event in events.values()
        for match in rules.match(event)
        if match.outcome == "holds"
    )
    return Verdict(
        missing=set(good) - set(events),
        invented=set(events) - set(good),
        dead_letters=Counter(letter.reason for letter in letters.values()),
        dead_letters_expected=_expected_reasons(records),
        alerts=await _alerts(deployment),
        alerts_expected=dict(expected),
        released_by=Counter(event.batch.released_by for event in events.values()),
        scored_repeats=len(scored) - len(events),
        dead_letter_repeats=len(dead_letters) - len(letters),
        waits=Waits((sent, came[name] - sent) for name, sent in stage.sent.items() if name in came),
    )


def _expected_reasons(records: Sequence[Record]) -> Counter[str]:

    reasons = {value: reason for value, reason, _ in SORTS.values()}
    return Counter(reasons[value] for _, _, value in records if value in reasons)


async def _alerts(deployment: Deployment) -> dict[str, int]:
    prefix = f"{deployment.name}:alert:"
    counts: dict[str, int] = {}
    async with Redis.from_url(deployment.redis_url, decode_responses=True) as client:
        async for key in client.scan_iter(f"{prefix}*"):
            alert = await client.hgetall(key)
            name = f"{alert['rule']} {alert['subject']}"
            counts[name] = counts.get(name, 0) + int(alert["count"])
    return counts
