"""alerts: finding them, and what a person does about one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
import msgspec

from stream.alerts.matchers import Matcher
from stream.commands.alert_view import print_alert, print_change
from stream.commands.options import FILE, config_option, json_option, with_redis
from stream.commands.parameters import AlertId, MatcherValue, Moment, Person, Remark, check_span
from stream.config.settings import Settings
from stream.records import Alert, AlertState, Severity, utc_now
from stream.runtime.errors import StartError
from stream.runtime.login import login_name
from stream.terminal import show

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from stream.alerts.alert_search import Search
    from stream.alerts.lifecycle import Change, Entry, Lifecycle
    from stream.names import Keys

F = TypeVar("F", bound=Callable[..., Any])

COLUMNS = ("id", "severity", "state", "count", "last_seen", "subject", "title")
LEAST = ("count", "last_seen", "state")


author_option = click.option(
    "--author",
    default=login_name,
    show_default="your login",
    type=Person(),
    help="Who does it.",
)
comment_option = click.option(
    "--comment", default="", type=Remark(), help="Why; kept in the alert's history."
)


def search_options(command: F) -> F:
    """--state, --severity, --rule, --subject and --label, alike where alerts are looked for."""
    for option in (
        click.option(
            "--label", "labels", multiple=True, type=MatcherValue(), help="A label: k=v, k=~v …"
        ),
        click.option("--subject", help="What it is about, kind and id: ticker:HALC."),
        click.option("--rule", help="The rule's name."),
        click.option("--severity", multiple=True, type=click.Choice(get_args(Severity))),
        click.option("--state", "states", multiple=True, type=click.Choice(get_args(AlertState))),
    ):
        command = option(command)
    return command


@click.group()
def alerts() -> None:
    """List, handle, silence and export alerts."""


@alerts.command("list")
@config_option
@search_options
@click.option("--since", type=Moment(), help="Latest event since then: 2h, 2026-03-01T12:00Z.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_obj
def list_alerts(
    settings: Settings,
    states: tuple[AlertState, ...],
    severity: tuple[str, ...],
    rule: str | None,
    subject: str | None,
    labels: tuple[Matcher, ...],
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """Open alerts, the gravest first; with --state resolved those that are over."""
    from stream.alerts.alert_search import Search
    from stream.alerts.evidence import SEVERITY_RANKS

    matchers = _matchers(severity, rule, subject, labels)
    found = asyncio.run(_find(settings, Search(states, matchers, since)))
    # Of one severity the latest stay first, so that no burst of small ones hides what is grave.
    found.sort(key=lambda alert: -SEVERITY_RANKS[alert.severity])
    total = len(found)
    if as_json:
        show.json_object({"alerts": found[:limit], "total": total, "more": total > limit})
        return
    show.table(
        "alerts" if "resolved" in states else "open alerts",
        found,
        columns=COLUMNS,
        least=LEAST,
        shown=limit,
        rest=f"--limit {total} shows them",
    )
    if not found and not states:
        show.stdout.print("--state resolved lists those that are over", markup=False)


@alerts.command("show")
@config_option
@click.argument("alert_id", type=AlertId())
@json_option
@click.pass_obj
def show_alert(settings: Settings, alert_id: str, as_json: bool) -> None:
    """One alert, its history, and its events in short; --json has all of it."""
    from stream.alerts.lifecycle import Lifecycle
    from stream.alerts.store import AlertStore, absent

    async def ask(redis: Redis, keys: Keys) -> tuple[Alert | None, list[Entry], str]:
        alert = await AlertStore(redis, keys, settings.alerting).get(alert_id)
        history = await Lifecycle(redis, keys, settings.alerting).history(alert_id)
        hidden: Any = await redis.hget(keys.notify("hidden"), alert_id)
        return alert, history, (hidden or b"").decode()

    alert, history, hidden = asyncio.run(with_redis(settings, ask))
    if alert is None:
        raise StartError(absent(alert_id))
    if as_json:
        fields = msgspec.to_builtins(alert)
        show.json_object({**fields, "hidden": hidden, "history": history})
        return
    print_alert(alert, history, hidden, routed=settings.alerting.routes is not None)


@alerts.command()
@config_option
@click.argument("alert_id", type=AlertId())
@author_option
@comment_option
@json_option
@click.pass_obj
def ack(settings: Settings, alert_id: str, author: str, comment: str, as_json: bool) -> None:
    """Say that someone works on it: no more repeats, unless it becomes graver."""
    _change(settings, lambda life: life.acknowledge(alert_id, by=author, comment=comment), as_json)


@alerts.command()
@config_option
@click.argument("alert_id", type=AlertId())
@click.option("--to", required=True, type=Person(), help="Who is to work on it.")
@author_option
@comment_option
@json_option
@click.pass_obj
def assign(
    settings: Settings, alert_id: str, to: str, author: str, comment: str, as_json: bool
) -> None:
    """Give the alert to someone."""
    _change(
        settings, lambda life: life.assign(alert_id, to=to, by=author, comment=comment), as_json
    )


@alerts.command()
@config_option
@click.argument("alert_id", type=AlertId())
@click.argument("text", type=Remark(needed=True))
@author_option
@json_option
@click.pass_obj
def comment(settings: Settings, alert_id: str, text: str, author: str, as_json: bool) -> None:
    """Add a comment to the alert's history; a resolved alert takes comments too."""
    _change(settings, lambda life: life.comment(alert_id, text, by=author), as_json)


@alerts.command()
@config_option
@click.argument("alert_id", type=AlertId())
@author_option
@comment_option
@json_option
@click.pass_obj
def resolve(settings: Settings, alert_id: str, author: str, comment: str, as_json: bool) -> None:
    """Close the alert; if the trouble returns, that is a new alert."""
    _change(settings, lambda life: life.resolve(alert_id, by=author, comment=comment), as_json)


@alerts.command()
@config_option
@search_options
@click.option("--since", type=Moment(), help="Read the topic from here instead of Redis.")
@click.option("--until", type=Moment(), help="Read the topic up to here.")
@click.option(
    "--format", "as_format", default="json", show_default=True, type=click.Choice(["json", "csv"])
)
@click.option("--output", type=FILE, help="A file; else stdout.")
@click.pass_obj
def export(
    settings: Settings,
    states: tuple[AlertState, ...],
    severity: tuple[str, ...],
    rule: str | None,
    subject: str | None,
    labels: tuple[Matcher, ...],
    since: datetime | None,
    until: datetime | None,
    as_format: str,
    output: Path | None,
) -> None:
    """Write open and resolved alerts: from Redis, or with --since from the topic."""
    from stream.alerts.alert_search import Search, to_csv

    matchers = _matchers(severity, rule, subject, labels)
    if since is not None:
        search = Search(states, matchers)
        check_span(since, until)
        found = asyncio.run(_find_in_topic(settings, search, since, until or utc_now()))
    elif until is None:
        search = Search(states or get_args(AlertState), matchers)
        found = asyncio.run(_find(settings, search))
    else:
        raise click.UsageError("--until needs --since: give the time where the export begins")
    content = (
        to_csv(found).encode()
        if as_format == "csv"
        else msgspec.json.encode({"alerts": found}) + b"\n"
    )
    if output is None:
        sys.stdout.buffer.write(content)
        return
    try:
        output.write_bytes(content)
    except OSError as error:
        raise StartError(f"{output}: can't be written ({error.strerror})") from None


def _matchers(
    severity: Sequence[str], rule: str | None, subject: str | None, labels: Sequence[Matcher]
) -> list[Matcher]:
    matchers = [*labels]
    if severity:
        matchers.append(Matcher("severity", "=~", "|".join(severity)))
    if rule is not None:
        matchers.append(Matcher("rule", "=", rule))
    if subject is not None:
        if ":" not in subject:
            raise click.UsageError(f"--subject {subject!r} has no kind; write it as in ticker:HALC")
        matchers.append(Matcher("subject", "=", subject))
    return matchers


async def _find(settings: Settings, search: Search) -> list[Alert]:
    """All there are, the latest first."""
    from stream.alerts.silence_store import SilenceStore
    from stream.alerts.silences import ActiveSilences
    from stream.alerts.store import AlertStore

    async def ask(redis: Redis, keys: Keys) -> list[Alert]:
        silences = ActiveSilences(await SilenceStore(redis, keys).listed())
        now = utc_now()
        store = AlertStore(redis, keys, settings.alerting)

        def keeps(alert: Alert) -> bool:
            return search.keeps(alert, silences, now)

        if "resolved" in search.states:
            return await store.list_all(keeps)
        return await store.list_open(keeps=keeps)

    return await with_redis(settings, ask)


async def _find_in_topic(
    settings: Settings, search: Search, since: datetime, until: datetime
) -> list[Alert]:
    from stream.alerts.alert_log import read_alerts
    from stream.alerts.silences import ActiveSilences

    found = await read_alerts(settings, since=since, until=until)
    return [alert for alert in found if search.keeps(alert, ActiveSilences(), until)]


def _change(
    settings: Settings,
    change: Callable[[Lifecycle], Coroutine[Any, Any, Change]],
    as_json: bool,
) -> None:
    from stream.alerts.lifecycle import Lifecycle

    done = asyncio.run(
        with_redis(settings, lambda redis, keys: change(Lifecycle(redis, keys, settings.alerting)))
    )
    if as_json:
        show.json_object(done)
    else:
        print_change(done)
