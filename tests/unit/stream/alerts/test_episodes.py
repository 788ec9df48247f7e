"""The life of alerts in memory equals their life in Redis, and waits, resolves and cools down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from redis.asyncio import Redis

from stream.alerts.episodes import Episodes
from stream.alerts.lifecycle import Lifecycle
from stream.alerts.store import AlertStore
from stream.config.settings import Alerting
from stream.names import Keys
from stream.records import Alert, Scored
from stream.rules.rule_file import Rule
from stream.rules.rule_set import Match, Outcome
from tests.fakes import pass_time, scored

ALERTING = Alerting(quiet_s=300.0)
H, F, R = "holds", "fails", "resolves"


def match(outcome: Outcome = "holds", *, severity: str = "warning", **fields: Any) -> Match:
    rule = Rule(
        name="r",
        when="sentiment.label  ==\n 'negative'",
        subject="ticker",
        severity=severity,  # type: ignore[arg-type]
        title="t",
        **{"labels": {"team": "desk"}, **fields},
    )
    title = f'Title "{severity}"\n/ ✓' if outcome == "holds" else "what ended it"
    return Match(rule, "ticker:A", title, 'A "summary"', outcome, {"volume": 1.5})


def at(number: int, after_s: float) -> Scored:
    return scored(id=f"e{number}", after_s=after_s)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from([H, H, H, F, R]),
        st.sampled_from(["info", "warning", "critical"]),
    ),
    max_size=30,
)
RULES = st.fixed_dictionaries(
    {
        "for_": st.sampled_from(["", "1m", "3m"]),
        "cooldown": st.sampled_from(["", "4m", "20m"]),
        "quiet": st.sampled_from(["", "2m"]),
    }
)


async def assert_equal_to_memory(
    client: Redis, steps: list[Any], fields: dict[str, str], swept: bool
) -> None:
    """Swept: events come in order, and what has been quiet is resolved before the next one."""
    store = AlertStore(client, Keys(), ALERTING)
    lifecycle = Lifecycle(client, Keys(), ALERTING)
    episodes = Episodes(quiet_s=ALERTING.quiet_s)
    for number, (minute, outcome, severity) in enumerate(sorted(steps) if swept else steps):
        event = at(number, minute * 60)
        if swept:
            await pass_time(client, past_s=ALERTING.quiet_s)
            await lifecycle.resolve_quiet(event.time.timestamp() - 1)
        verdict = match(outcome, severity=severity, **fields)
        (found,) = (await store.raise_alerts([(event, verdict)])).transitions
        assert found == episodes.raise_alert(event, verdict), number
        left = episodes.known.get(verdict.subject, set())
        names = await client.smembers(Keys().lasting(verdict.subject))
        assert {name.decode() for name in names} == left, number
        if found:
            assert await store.get(found.id) == found
            # Delivered again, it changes nothing.
            assert (await store.raise_alerts([(event, verdict)])).transitions == [found]


@examples(max_examples=20, suppress_health_check=list(HealthCheck))
@given(STEPS, RULES, st.booleans())
def test_redis_and_memory_live_the_same_imitation(
    steps: list[Any], fields: Any, swept: bool
) -> None:
    async def run() -> None:
        async with FakeAsyncRedis() as client:
            await assert_equal_to_memory(client, steps, fields, swept)

    asyncio.run(run())


@pytest.mark.redis
@examples(max_examples=100, suppress_health_check=list(HealthCheck))
@given(STEPS, RULES, st.booleans())
def test_redis_and_memory_live_the_same(
    redis_url: str, steps: list[Any], fields: Any, swept: bool
) -> None:
    async def run() -> None:
        async with Redis.from_url(redis_url) as client:
            await client.flushdb()
            await assert_equal_to_memory(client, steps, fields, swept)

    asyncio.run(run())


@pytest.mark.parametrize(
    "before",
    [
        [(H, 0), (F, 5)],  # ended a wait
        [(H, 0), (H, 3), (R, 3), (F, 5)],  # found nothing, and let the rule be forgotten
        [(H, 0), (F, 1), (H, 2), (R, 5)],  # ended a wait too, as what resolves
    ],
)
async def test_a_verdict_that_is_given_again_does_not_end_a_wait_that_began_since(
    before: list[Any],
) -> None:
    async with FakeAsyncRedis() as client:
        store = AlertStore(client, Keys(), ALERTING)

        async def give(outcome: Any, number: int, minute: float) -> None:
            verdict = match(outcome, for_="3m", resolve="true")
            await store.raise_alerts([(at(number, minute * 60), verdict)])

        for number, (outcome, minute) in enumerate(before):
            await give(outcome, number, minute)
        await give(H, 99, 4)
        await give(outcome, number, minute)
        await give(H, 100, 8)
        assert [alert.count for alert in await store.list_open()] == [2]


def lived(*steps: tuple[float, str], **fields: Any) -> list[Alert | None]:
    """What a rule with these fields does at each (minute, outcome)."""
    episodes = Episodes(quiet_s=ALERTING.quiet_s)
    return [
        episodes.raise_alert(at(number, minute * 60), match(outcome, **fields))  # type: ignore[arg-type]
        for number, (minute, outcome) in enumerate(steps)
    ]


def states(alerts: list[Alert | None]) -> list[str | None]:
    return [alert and alert.state for alert in alerts]


def test_a_rule_that_waits_fires_when_its_condition_has_held_so_long() -> None:
    alerts = lived((0, H), (1, H), (2, H), (3, H), for_="2m")
    assert states(alerts) == [None, None, "firing", "updated"]
    fired = alerts[2]
    assert fired is not None
    assert (fired.count, fired.sequence, fired.first_seen) == (3, 1, at(0, 0).time)
    assert fired.fired_at == at(2, 120).time
    assert [one.event_id for one in fired.evidence] == ["e0", "e1", "e2"]


def test_an_event_that_fails_in_between_starts_the_wait_again() -> None:
    assert states(lived((0, H), (1, F), (2, H), (3, H), (4, H), for_="2m")) == [
        None,
        None,
        None,
        None,
        "firing",
    ]


def test_a_failing_event_from_before_the_wait_does_not_end_it() -> None:
    assert states(lived((5, H), (4, F), (7, H), for_="2m")) == [None, None, "firing"]


def test_a_match_from_before_the_wait_does_not_shorten_it() -> None:
    """On the events between, nothing was told of a rule that did not wait yet."""
    alerts = lived((5, H), (0, H), (6, H), (7, H), for_="2m")
    assert states(alerts) == [None, None, None, "firing"]
    fired = alerts[-1]
    assert fired is not None
    assert (fired.count, fired.first_seen) == (3, at(0, 300).time)


def test_a_failing_event_does_not_end_an_alert() -> None:
    assert states(lived((0, H), (1, F), (2, H))) == ["firing", None, "updated"]


def test_resolving_ends_the_episode_and_the_next_match_opens_another() -> None:
    alerts = lived((0, H), (1, R), (2, R), (3, H))
    assert states(alerts) == ["firing", "resolved", None, "firing"]
    ended, opened = alerts[1], alerts[3]
    assert ended is not None
    assert opened is not None
    assert (ended.sequence, ended.count, ended.last_seen) == (2, 1, at(0, 0).time)
    assert ended.ended_by is not None
    assert (ended.ended_at, ended.ended_by.event_id) == (at(1, 60).time, "e1")
    assert (opened.ended_at, opened.ended_by) == (None, None)
    assert opened.episode == 2


def test_what_ends_an_alert_does_not_rename_it() -> None:
    fired, ended = lived((0, H), (1, R))
    assert fired is not None
    assert ended is not None
    assert (ended.title, ended.summary) == (fired.title, fired.summary)


def test_what_comes_late_neither_resolves_nor_reopens() -> None:
    assert states(lived((5, H), (4, R), (6, R), (3, H))) == ["firing", None, "resolved", None]


@pytest.mark.parametrize(
    ("minute", "outcome", "left"), [(5, F, {"r"}), (6, F, set()), (6, R, set())]
)
def test_what_has_been_quiet_is_asked_no_more(minute: float, outcome: Any, left: set[str]) -> None:
    episodes = Episodes(quiet_s=ALERTING.quiet_s)
    fired = episodes.raise_alert(at(0, 0), match())
    later = episodes.raise_alert(at(1, minute * 60), match(outcome))
    assert (states([fired, later]), episodes.known["ticker:A"]) == (["firing", None], left)


def test_what_is_asked_no_more_is_not_resolved_by_what_comes_late() -> None:
    assert states(lived((0, H), (6, F), (1, R))) == ["firing", None, None]
    assert states(lived((0, H), (6, F), (1, H), (2, R))) == ["firing", None, "updated", "resolved"]


def test_after_an_episode_no_new_one_begins_within_the_cooldown() -> None:
    alerts = lived((0, H), (1, R), (10, H), (11, H), cooldown="10m")
    assert states(alerts) == ["firing", "resolved", None, "firing"]


def test_the_cooldown_counts_from_the_end_of_the_quiet_time_too() -> None:
    # quiet is 5 minutes, so the episode ends at 5 and the cooldown at 15.
    assert states(lived((0, H), (14, H), (15, H), cooldown="10m")) == ["firing", None, "firing"]


def test_a_rule_has_a_quiet_time_of_its_own() -> None:
    assert states(lived((0, H), (2, H), quiet="1m")) == ["firing", "firing"]


def test_an_alert_carries_labels_figures_and_what_was_asked() -> None:
    (alert,) = lived((0, H))
    assert alert is not None
    assert alert.labels == {
        "severity": "warning",
        "rule": "r",
        "subject_kind": "ticker",
        "team": "desk",
    }
    assert alert.signal == {"volume": 1.5}
    assert alert.condition == "sentiment.label == 'negative'"
