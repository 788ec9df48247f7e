"""Workers that judge at the same moment: a backtest of what they wrote raises what they raised."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from redis.asyncio import Redis

from stream.alerts.store import AlertStore
from stream.backtesting.backtest import Backtest
from stream.backtesting.scored_log import place_of
from stream.config.settings import Alerting
from stream.config.signals import Signals
from stream.names import Keys
from stream.processing.judge import Shipment, apply_rules
from stream.records import Alert, Origin, Scored, Subject
from stream.rules.rule_set import RuleSet
from stream.signals.signal_store import SignalStore
from tests.fakes import scored, scores

SIGNALS = Signals(min_baseline=1)
ALERTING = Alerting(quiet_s=600.0)
RULES = """
[[rule]]
name = "ends"
when = 'sentiment.label == "negative"'
resolve = 'sentiment.label == "positive"'
subject = "ticker"
severity = "warning"
title = "{subject}: {signal.events}"

[[rule]]
name = "waits"
when = 'signal.sentiment <= 0.0'
resolve = 'signal.sentiment > 0.3'
for = "3m"
cooldown = "2m"
subject = "ticker"
severity = "info"
title = "{subject}: {signal.sentiment}"
"""
# A record like its worker's last one, as of a source that is not sure of having sent it.
SENT_AGAIN = (0, "", "")
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # which worker takes its next step
        st.lists(
            st.tuples(
                st.integers(0, 15),
                st.sampled_from(["negative", "negative", "neutral", "positive"]),
                st.sampled_from(["A", "B"]),
            )
            | st.just(SENT_AGAIN),
            min_size=1,
            max_size=3,
        ),
        st.booleans(),  # whether the worker is given its last batch again before
    ),
    max_size=25,
)

# Tones that cancel out, weighed in another order: the mean is 0 but for the last digit.
CANCELLED = [
    (0, [(2, "negative", "A")], False),
    (0, [(3, "negative", "A"), (3, "positive", "A"), (5, "neutral", "A")], False),
    (0, [(2, "positive", "A")], False),
]

# What ends nothing yet, and then, at the same time, what begins an alert or a wait.
GIVEN_AGAIN = [
    (0, [(5, "positive", "A"), (5, "negative", "A")], False),
    (0, [(1, "negative", "B")], True),
    (0, [(5, "positive", "B"), (2, "negative", "B"), (5, "negative", "B")], True),
    (0, [(9, "neutral", "A")], True),
]

# What ends no wait, since another worker has ended it, and then, at the same time, what begins one.
BEGUN_SINCE = [
    (0, [(0, "negative", "A")], False),
    (0, [(1, "positive", "A"), (1, "negative", "A")], False),
    (1, [(1, "positive", "A")], False),
    (1, [(0, "negative", "A")], False),
    (0, [(3, "negative", "A")], True),
]


class Worker:
    """What a worker asks of Redis, cut where another worker may come in between."""

    def __init__(self, client: Redis, rules: RuleSet) -> None:
        self._signals = SignalStore(client, Keys(), SIGNALS, replay_s=500, remembered=100)
        self._alerts = AlertStore(client, Keys(), ALERTING)
        self._rules = rules
        self._shipment: Shipment | None = None
        self._last: list[Scored] = []
        self.log: list[Scored] = []
        self.raised: list[Alert] = []

    async def step(self, batch: list[Scored]) -> bool:
        """Whether it took the batch: it does when the last one's verdicts are in."""
        if self._shipment is None:
            observed = await self._signals.observe(batch, self._rules.lasting(batch))
            self._shipment = Shipment(scored=batch, turns=observed.turns)
            apply_rules(self._shipment, self._rules, observed)
            return True
        shipment, self._shipment = self._shipment, None
        self._last = shipment.scored
        turn = shipment.turns[-1]
        if shipment.matches:
            transitions, turn = await self._alerts.raise_alerts(shipment.matches)
            self.raised += [alert for alert in transitions if alert]
        self.log += [
            msgspec.structs.replace(one, turn=(observed, turn))
            for one, observed in zip(shipment.scored, shipment.turns, strict=True)
        ]
        return False

    async def take_again(self) -> None:
        """The last batch, as after a crash before it was acknowledged; it does nothing new."""
        if self._shipment is None and self._last:
            observed = await self._signals.observe(self._last, self._rules.lasting(self._last))
            shipment = Shipment(scored=self._last, turns=observed.turns)
            apply_rules(shipment, self._rules, observed)
            if shipment.matches:
                transitions, _ = await self._alerts.raise_alerts(shipment.matches)
                assert all(alert in self.raised for alert in transitions if alert)

    async def finish(self) -> None:
        if self._shipment is not None:
            await self.step([])


def batches(steps: list[Any]) -> Iterator[tuple[int, list[Scored], bool]]:
    number = 0
    last: dict[int, Scored] = {}
    for worker, events, again in steps:
        batch = []
        for event in events:
            number += 1
            origin = Origin("news", worker, number)
            if event != SENT_AGAIN:
                minute, tone, ticker = event
                last[worker] = scored(
                    id=f"e{number}",
                    after_s=minute * 60,
                    heads=scores(sentiment=tone),
                    subjects=(Subject("ticker", ticker),),
                )
            if worker in last:
                batch.append(msgspec.structs.replace(last[worker], origin=origin))
        if batch:
            yield worker, batch, again


async def assert_told_again(client: Redis, folder: Path, steps: list[Any]) -> None:
    path = folder / "rules.toml"
    path.write_text(RULES)
    rules = RuleSet.load(path, signals=SIGNALS)
    workers = [Worker(client, rules) for _ in range(4)]
    raised: dict[str, Alert] = {}
    todo = deque(batches(steps))
    while todo:
        number, batch, again = todo[0]
        if again:
            await workers[number].take_again()
        if await workers[number].step(batch):
            todo.popleft()
    for worker in workers:
        await worker.finish()
    live = [alert for worker in workers for alert in worker.raised]
    for alert in sorted(live, key=lambda one: one.sequence):
        raised[alert.id] = alert

    run = Backtest({"": RuleSet.load(path, signals=SIGNALS)}, signals=SIGNALS, quiet_s=600.0)
    log = [one for worker in workers for one in worker.log]
    for one in sorted(log, key=place_of):
        run.feed(one)
    outcome = run.outcome("")
    # What an event caused is told again when it is sent again.
    assert outcome.transitions == len({(alert.id, alert.sequence) for alert in live})
    assert {alert.id: alert for alert in outcome.alerts} == raised


@examples(max_examples=25, suppress_health_check=list(HealthCheck))
@given(STEPS)
@example(CANCELLED)
@example(GIVEN_AGAIN)
@example(BEGUN_SINCE)
def test_a_backtest_takes_the_turns_that_workers_took_imitation(
    tmp_path: Path, steps: list[Any]
) -> None:
    async def run() -> None:
        async with FakeAsyncRedis() as client:
            await assert_told_again(client, tmp_path, steps)

    asyncio.run(run())


@pytest.mark.redis
@examples(max_examples=150, suppress_health_check=list(HealthCheck))
@given(STEPS)
@example(CANCELLED)
@example(GIVEN_AGAIN)
@example(BEGUN_SINCE)
def test_a_backtest_takes_the_turns_that_workers_took(
    redis_url: str, tmp_path: Path, steps: list[Any]
) -> None:
    async def run() -> None:
        async with Redis.from_url(redis_url) as client:
            await client.flushdb()
            await assert_told_again(client, tmp_path, steps)

    asyncio.run(run())
