"""alerts silence, unsilence and silences: hiding alerts from notification for a while."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from stream.alerts.matchers import Matcher, named_rules
from stream.commands.alerts import author_option
from stream.commands.options import config_option, json_option, with_redis
from stream.commands.parameters import MatcherValue, Remark, Span, Start, warn_of_unknown
from stream.config.settings import Settings
from stream.records import utc_now
from stream.terminal import show

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from stream.alerts.silence_store import Preview
    from stream.alerts.silences import Silence
    from stream.names import Keys

COLUMNS = ("id", "matchers", "author", "reason", "starts", "expiry", "hidden")
LEAST = ("starts",)


@click.command()
@config_option
@click.option(
    "--matcher",
    "matchers",
    multiple=True,
    required=True,
    type=MatcherValue(),
    help="rule=x, severity!=critical, subject=~ticker:.*; all given must hold.",
)
@click.option("--for", "lasts_s", required=True, type=Span(), help="How long: 30m, 2h, 7d.")
@click.option("--from", "starts", type=Start(), help="When it starts, if not now.")
@author_option
@click.option(
    "--comment", default="", type=Remark(), help="Why; everyone sees it. A preview needs none."
)
@click.option("--preview", is_flag=True, help="Only say what it would hide.")
@json_option
@click.pass_obj
def silence(
    settings: Settings,
    matchers: tuple[Matcher, ...],
    lasts_s: int,
    starts: datetime | None,
    author: str,
    comment: str,
    preview: bool,
    as_json: bool,
) -> None:
    """Notify nobody of alerts that match; they stay on the topics and in the list."""
    from stream.alerts.silence_store import PREVIEW_S, SilenceStore

    warn_of_unknown(
        settings, labels={matcher.name for matcher in matchers}, rules=named_rules(matchers)
    )

    async def ask(redis: Redis, keys: Keys) -> tuple[Silence | None, Preview]:
        store = SilenceStore(redis, keys)
        since = utc_now() - timedelta(seconds=PREVIEW_S)
        seen = await store.preview(matchers, since=since)
        if preview:
            return None, seen
        made = await store.create(
            matchers, author=author, reason=comment, lasts_s=lasts_s, starts=starts
        )
        return made, seen

    made, seen = asyncio.run(with_redis(settings, ask))
    if as_json:
        show.json_object({"silence": made, "preview": seen})
        return
    if made:
        show.table("silences made", [made], columns=COLUMNS, least=LEAST)
    would = "would hide" if preview or starts else "hides"
    reach = "" if seen.complete else " that Redis still has; raise alerting.stream_length for more"
    show.stdout.print(
        f"{would} {seen.hidden} of the last hour's {seen.alerts} alerts{reach}", markup=False
    )
    if seen.examples:
        columns = ("id", "severity", "state", "subject", "title")
        show.table("the latest of them", seen.examples, columns=columns, least=("state",))


@click.command()
@config_option
@click.argument("silence_id")
@json_option
@click.pass_obj
def unsilence(settings: Settings, silence_id: str, as_json: bool) -> None:
    """End a silence now; what still fires is notified."""
    from stream.alerts.silence_store import SilenceStore

    ended = asyncio.run(
        with_redis(settings, lambda redis, keys: SilenceStore(redis, keys).end(silence_id))
    )
    if as_json:
        show.json_object(ended)
    else:
        show.table("silences ended", [ended], columns=COLUMNS, least=LEAST)


@click.command()
@config_option
@json_option
@click.pass_obj
def silences(settings: Settings, as_json: bool) -> None:
    """Silences in force or to come, and how many alerts each has hidden."""
    from stream.alerts.silence_store import SilenceStore

    found = asyncio.run(
        with_redis(settings, lambda redis, keys: SilenceStore(redis, keys).listed())
    )
    if as_json:
        show.json_object({"silences": found})
    else:
        show.table("silences", found, columns=COLUMNS, least=LEAST)
