"""ledger: which model and which rules were in force at a time, and what those rules said."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

import click

from stream.commands.options import FAILED, config_option, json_option
from stream.commands.parameters import Moment, check_span
from stream.config.settings import Settings
from stream.connections.topic_log import read_log
from stream.connections.topics import LEDGER_DAYS
from stream.operations.ledger import (
    Record,
    RulesText,
    complete_since,
    decode,
    overlapping,
    spans,
)
from stream.records import DECODE_ERRORS, utc_now
from stream.terminal import show

UTC_SECONDS = "%Y-%m-%dT%H:%M:%SZ"
COLUMNS = ("worker", "since", "until", "model", "rules", "rules_from", "begin", "end")


@click.command()
@config_option
@click.option("--at", type=Moment(), help="What was in force then; else what is now.")
@click.option("--since", type=Moment(), help="Everything in force at some time since then.")
@click.option("--until", type=Moment(), help="With --since: up to then; else up to now.")
@click.option("--rules", "version", help="Print the rule file of this version instead.")
@json_option
@click.pass_obj
def ledger(
    settings: Settings,
    at: datetime | None,
    since: datetime | None,
    until: datetime | None,
    version: str | None,
    as_json: bool,
) -> None:
    """Which model and which rules were in force on which worker."""
    if sum(map(bool, (version, at, since or until))) > 1:
        raise click.UsageError("give one of --at, --since (and --until), --rules")
    if until and not since:
        raise click.UsageError("--until needs --since")
    check_span(since, until)
    now = utc_now()
    records = asyncio.run(_read(settings))
    if version:
        _show_rules(records, version, as_json=as_json)
        return
    begin, end = (since, until or now) if since else (at or now, at or now)
    found = overlapping(spans(records, now), begin, end)
    complete = complete_since(records)
    if as_json:
        show.json_object(
            {"since": begin, "until": end, "complete_since": complete, "in_force": found}
        )
    else:
        show.table("in force", found, columns=COLUMNS)
    if complete is None or begin < complete:
        knows = f"everything from {complete:{UTC_SECONDS}} on" if complete else "of no worker yet"
        sys.stderr.write(
            f"bellwether: the ledger tells {knows}, not all that was in force at "
            f"{begin:{UTC_SECONDS}}; entries are kept for {LEDGER_DAYS} days\n"
        )
        if not found:
            sys.exit(FAILED)


async def _read(settings: Settings) -> list[Record]:
    """All of the ledger. A record that is none of ours is passed over, with a line on stderr."""
    found: list[Record] = []
    async for record in read_log(settings, settings.topics.ledger):
        try:
            found.append(decode.decode(record.value or b""))
        except DECODE_ERRORS as error:
            sys.stderr.write(
                f"bellwether: {record.topic}, partition {record.partition}, offset "
                f"{record.offset}: is no record of the ledger ({error})\n"
            )
    return found


def _show_rules(records: list[Record], version: str, *, as_json: bool) -> None:
    texts = {one.version: one.text for one in records if isinstance(one, RulesText)}
    if version not in texts:
        known = ", ".join(sorted(texts)) or "none"
        sys.stderr.write(f"bellwether: the ledger has no rules {version}; it has {known}\n")
        sys.exit(FAILED)
    if as_json:
        show.json_object({"rules": version, "text": texts[version]})
    else:
        # As it was, to be written into a file and run again.
        sys.stdout.write(texts[version])
