"""doctor, alerts and dead-letters: looking after a running deployment."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
from redis.exceptions import RedisError

from stream import show
from stream.commands.options import FAILED, config_option, json_option, load_predictor
from stream.connection import StartError
from stream.logs import set_up_logging
from stream.settings import Settings

T = TypeVar("T")


@click.command()
@config_option
@json_option
@click.pass_obj
def doctor(settings: Settings, as_json: bool) -> None:
    """Check broker, topics, Redis, model, device and rules; say what to do."""
    from stream.doctor import examine

    set_up_logging("ERROR")
    checks = asyncio.run(examine(settings, lambda: load_predictor(settings)))
    healthy = all(check.status != "failed" for check in checks)
    if as_json:
        show.json_object({"healthy": healthy, "checks": checks})
    else:
        show.table("doctor", checks, columns=("name", "status", "detail"))
    if not healthy:
        sys.exit(FAILED)


@click.group()
def alerts() -> None:
    """Operate alerts."""


@alerts.command("list")
@config_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_obj
def list_alerts(settings: Settings, limit: int, as_json: bool) -> None:
    """Open alerts, the most recently seen first."""
    from stream.store import AlertStore

    found = asyncio.run(_with_store(settings, lambda store: AlertStore.list_open(store, limit)))
    if as_json:
        show.json_object({"alerts": found})
    else:
        show.table(
            "open alerts",
            found,
            columns=("id", "severity", "state", "count", "last_seen", "subject", "title"),
        )


@alerts.command("show")
@config_option
@click.argument("alert_id")
@json_option
@click.pass_obj
def show_alert(settings: Settings, alert_id: str, as_json: bool) -> None:
    """One alert with its evidence."""
    from stream.store import AlertStore

    alert = asyncio.run(_with_store(settings, lambda store: AlertStore.get(store, alert_id)))
    if alert is None:
        raise StartError(
            f"alert {alert_id!r} is not in Redis; it never was, or alerting.keep_s is over "
            "(`bellwether alerts list` shows the open ones)"
        )
    show.record(alert.title, alert, as_json=as_json)


async def _with_store(settings: Settings, ask: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    from stream.connection import redis_client, redis_remedy
    from stream.names import Keys
    from stream.store import AlertStore

    async with redis_client(settings.redis) as client:
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            raise StartError(f"Redis can't be reached ({error}); {redis_remedy(error)}") from error
        return await ask(AlertStore(client, Keys(settings.redis.prefix), settings.alerting))
