"""What a person does about an alert, and how an alert is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result
from fakeredis import FakeAsyncRedis, FakeServer

from stream.alerts.store import AlertStore
from stream.commands import alerts
from stream.config.settings import Settings, load_settings
from stream.names import Keys
from stream.records import Alert, Severity
from stream.rules.rule_set import Match, Rule
from stream.runtime.errors import StartError
from stream.terminal.show import PIPED_WIDTH
from tests.fakes import scored

Ask = Callable[[Any, Keys], Coroutine[Any, Any, Any]]


class Console:
    """A person's terminal beside an imitated Redis."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def with_redis(self, _settings: Settings, ask: Ask) -> Any:
        async with FakeAsyncRedis(server=self._server) as client:
            return await ask(client, Keys())

    def fire(
        self,
        *texts: str,
        subject: str = "ticker:HALC",
        severity: Severity = "warning",
        after_s: float = 0,
        when: str = "true",
        signal: Mapping[str, float] | None = None,
    ) -> Alert:
        """One alert with the texts as its evidence."""
        rule = Rule(name="r", when=when, subject="ticker", severity=severity, title="t")
        match = Match(rule, subject, "Bad news on HALC", "s", signal=dict(signal or {}))
        events = [
            scored(id=f"e-{place}", text=text, after_s=after_s + place)
            for place, text in enumerate(texts)
        ]

        async def ask(redis: Any, keys: Keys) -> Alert:
            store = AlertStore(redis, keys, load_settings(None).alerting)
            raised = await store.raise_alerts([(event, match) for event in events])
            return raised.transitions[-1]

        alert: Alert = asyncio.run(self.with_redis(load_settings(None), ask))
        return alert

    def hide(self, alert: Alert, reason: str) -> None:
        """As the notifier does."""

        async def ask(redis: Any, keys: Keys) -> None:
            await redis.hset(keys.notify("hidden"), alert.id, reason)

        asyncio.run(self.with_redis(load_settings(None), ask))

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(alerts.alerts, arguments, obj=load_settings(None))

    def history(self, alert: Alert) -> list[dict[str, Any]]:
        shown = orjson.loads(self.run("show", alert.id, "--json").output)
        history: list[dict[str, Any]] = shown["history"]
        return history


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Console:
    console = Console(FakeServer())
    monkeypatch.setattr(alerts, "with_redis", console.with_redis)
    return console


@pytest.mark.parametrize("blank", ["", "  ", "\u200b", "\x1b[2J"])
def test_blank_words_and_names_are_refused_and_change_nothing(person: Console, blank: str) -> None:
    alert = person.fire("text")
    for arguments, named in (
        (("comment", alert.id, blank), "TEXT"),
        (("assign", alert.id, "--to", blank), "--to"),
        (("assign", alert.id, "--to", "bob", "--author", blank), "--author"),
        (("ack", alert.id, "--author", blank), "--author"),
    ):
        ran = person.run(*arguments)
        assert ran.exit_code == 2
        assert named in ran.output
        assert "is blank" in ran.output
    assert person.history(alert) == []


def test_what_steers_a_terminal_is_taken_out_of_words_and_names(person: Console) -> None:
    alert = person.fire("text")
    person.run("comment", alert.id, "one\x1b[31m &lt;\ntwo\x00", "--author", " ann\n\x1b[2J")
    person.run("assign", alert.id, "--to", "bo\u202eb\r", "--author", "ann", "--comment", "\x07his")
    history = person.history(alert)
    assert [(one["by"], one["detail"], one["comment"]) for one in history] == [
        ("ann", "", "one &lt;\ntwo"),
        ("ann", "bob", "his"),
    ]


@pytest.mark.parametrize("command", ["show", "ack", "resolve"])
def test_an_id_that_leads_to_another_key_is_not_there(person: Console, command: str) -> None:
    alert = person.fire("text")
    person.run("comment", alert.id, "first", "--author", "ann")
    ran = person.run(command, f"{alert.id}:history")
    assert isinstance(ran.exception, StartError)
    assert "is not in Redis" in str(ran.exception)


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As into a pipe, whatever COLUMNS is where the tests run."""
    monkeypatch.setattr("stream.terminal.show.stdout._width", PIPED_WIDTH)


@pytest.mark.usefixtures("piped")
def test_an_alert_is_shown_in_short_and_piped_without_padding(person: Console) -> None:
    texts = [f"first {'a' * 400} end", "second, as\nshort\x1b[2J", "third, the last"]
    when = 'sentiment.label == "negative" && signal.volume > 1.0'
    alert = person.fire(*texts, when=when, signal={"volume": 3.14159265, "events": 7})
    person.run("assign", alert.id, "--to", "bob", "--author", "ann", "--comment", "his\nturn")
    person.hide(alert, "silenced by 3f9a01c2 (load test)")
    shown = person.run("show", alert.id).output
    lines = shown.splitlines()
    assert [line for line in lines if line != line.rstrip()] == []
    assert max(map(len, lines)) < 300
    assert lines[0] == "Bad news on HALC"
    for expected in (
        f" alert         {alert.id}, warning, updated",
        " events        3, 2026-03-12 12:00:00Z to 2026-03-12 12:00:02Z",
        f" condition     {when}",
        " figures       volume 3.14",
        " not notified  silenced by 3f9a01c2 (load test)",
        " 2026-03-12 12:00:02Z  news e-2: sentiment negative 0.95",
        "                       third, the last",
    ):
        assert expected in lines
    (assigned,) = (line for line in lines if "assigned bob by ann: his turn" in line)
    assert lines.index(assigned) < lines.index("events")
    # Neither what the rule does not read, nor what there is nothing to say of.
    for absent in ("topic", "risk", "flapping", "acknowledged by", "origin", "a" * 200, "\x1b"):
        assert absent not in shown
    whole = orjson.loads(person.run("show", alert.id, "--json").output)
    assert [one["text"] for one in whole["evidence"]] == texts
    assert whole["hidden"] == "silenced by 3f9a01c2 (load test)"


@pytest.mark.usefixtures("piped")
def test_a_change_says_what_became_of_it_and_who_has_the_alert(person: Console) -> None:
    alert = person.fire("text")
    done = person.run("ack", alert.id, "--author", "ann", "--comment", "on it").output.splitlines()
    again = person.run("ack", alert.id, "--author", "bob").output.splitlines()
    said = person.run("ack", alert.id, "--author", "bob", "--comment", "so do I").output
    assert done[1:] == [
        f" alert            {alert.id}, warning, acknowledged",
        " change           acknowledged by ann: on it",
        " acknowledged by  ann",
    ]
    assert again == [*done[:2], " change           none, it was so already", done[3]]
    assert " change           commented by bob: so do I\n" in said


@pytest.mark.usefixtures("piped")
def test_what_ended_an_alert_is_not_shown_as_what_raised_it(person: Console) -> None:
    rule = Rule(
        name="r",
        when="signal.volume > 4.0",
        resolve="signal.volume < 2.0",
        subject="ticker",
        severity="info",
        title="t",
    )

    async def ask(redis: Any, keys: Keys) -> Alert:
        store = AlertStore(redis, keys, load_settings(None).alerting)
        fires = Match(rule, "ticker:HALC", "t", "s", signal={"volume": 5.0})
        ends = Match(rule, "ticker:HALC", "t", "s", outcome="resolves", signal={"volume": 1.5})
        await store.raise_alerts([(scored(id="e-0"), fires)])
        raised = await store.raise_alerts([(scored(id="e-1", after_s=60), ends)])
        return raised.transitions[-1]

    alert: Alert = asyncio.run(person.with_redis(load_settings(None), ask))
    lines = person.run("show", alert.id).output.splitlines()
    assert " ended on      signal.volume < 2.0" in lines
    assert not any(line.startswith(" condition") for line in lines)


@pytest.mark.usefixtures("piped")
def test_that_nothing_hides_an_alert_is_said_too(person: Console) -> None:
    alert = person.fire("text")
    shown = person.run("show", alert.id).output
    assert " notification  none, alerting.routes is not set\n" in shown
    base = load_settings(None)
    routed = base.alerting.model_copy(update={"routes": Path("routes.toml")})
    settings = base.model_copy(update={"alerting": routed})
    told = CliRunner().invoke(alerts.alerts, ["show", alert.id], obj=settings).output
    assert " notification  nothing hides it\n" in told
    assert "history" not in shown
    # The condition names no head, so all are shown.
    assert "sentiment negative 0.95, topic earnings 0.95, risk low 0.95" in shown


def test_where_none_is_open_it_says_how_to_see_the_others(person: Console) -> None:
    assert "--state resolved lists" in person.run("list").output
    assert "--state resolved lists" not in person.run("list", "--state", "resolved").output
    person.fire("text")
    assert "--state resolved lists" not in person.run("list").output


def test_a_burst_of_small_alerts_hides_neither_a_grave_one_nor_how_many_there_are(
    person: Console,
) -> None:
    grave = person.fire("text", subject="ticker:GRAV", severity="critical")
    burst = [
        person.fire("text", subject=f"ticker:T{number}", severity="info", after_s=60 + number)
        for number in range(4)
    ]
    latest = [alert.id for alert in reversed(burst)]
    printed = person.run("list", "--limit", "3").output
    assert "open alerts: 3 of 5" in printed
    assert "… and 2 more; --limit 5 shows them" in printed
    listed = orjson.loads(person.run("list", "--limit", "3", "--json").output)
    assert [one["id"] for one in listed["alerts"]] == [grave.id, *latest[:2]]
    assert (listed["total"], listed["more"]) == (5, True)
    whole = orjson.loads(person.run("list", "--limit", "5", "--json").output)
    assert [one["id"] for one in whole["alerts"]] == [grave.id, *latest]
    assert (whole["total"], whole["more"]) == (5, False)
    assert "open alerts: 5\n" in person.run("list", "--limit", "5").output
