"""dead-letters: what could not be processed, and sending it again after a fix."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click
import msgspec

from stream.commands.options import FAILED, config_option, json_option
from stream.commands.parameters import Moment
from stream.config.settings import Settings
from stream.ingest.dead_letter import DeadLetter, Reason
from stream.terminal import show

if TYPE_CHECKING:
    from stream.operations.dead_letter_log import Listing

T = TypeVar("T")

SHOWN_BYTES = 160
LEAST = ("attempt", "replayed", "begins with")
"""Columns that a narrow terminal does without."""


def _filters(command: Callable[..., T]) -> Callable[..., T]:
    for option in (
        click.option("--since", type=Moment(), help="Only failures since then; ISO 8601 or 2h."),
        click.option("--topic", "topics", multiple=True, help="Only records of this source topic."),
        click.option(
            "--reason",
            "reasons",
            type=click.Choice(get_args(Reason)),
            multiple=True,
            help="Only failures of this reason.",
        ),
    ):
        command = option(command)
    return command


@click.group("dead-letters")
def dead_letters() -> None:
    """List records that could not be processed, and send them again."""


@dead_letters.command("list")
@config_option
@_filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_obj
def list_dead_letters(
    settings: Settings,
    reasons: tuple[str, ...],
    topics: tuple[str, ...],
    since: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """The newest dead letters with their reasons; a record that failed again is shown once."""
    from stream.operations.dead_letter_log import Wanted
    from stream.operations.dead_letter_log import list_dead_letters as read

    wanted = Wanted(reasons=reasons, topics=topics, since=since)
    listing = asyncio.run(read(settings, limit=limit, wanted=wanted))
    if as_json:
        show.json_object(
            {
                "dead_letters": [msgspec.Raw(letter.encode()) for letter in listing.letters],
                "replayed": [
                    listing.replayed[letter.id]
                    for letter in listing.letters
                    if letter.id in listing.replayed
                ],
                "unreadable": listing.unreadable,
            }
        )
        return
    columns = ("id", "reason", "field", "detail", *LEAST)
    rows = [_row(letter, listing) for letter in listing.letters]
    show.table("dead letters", rows, columns=columns, least=LEAST)
    if listing.unreadable:
        show.stderr.print(f"{listing.unreadable} records on the topic are no dead letters")


def _row(letter: DeadLetter, listing: Listing) -> dict[str, Any]:
    replay = listing.replayed.get(letter.id)
    return {
        "id": letter.id,
        "reason": letter.reason,
        "field": letter.field,
        "detail": letter.detail,
        "attempt": letter.attempt,
        "replayed": f"{replay.time:%Y-%m-%d %H:%M}" if replay else "",
        "begins with": (letter.value or b"")[:SHOWN_BYTES].decode(errors="replace"),
    }


@dead_letters.command("replay")
@config_option
@_filters
@click.option("--id", "ids", multiple=True, help="Only this dead letter.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@click.option("--again", is_flag=True, help="Also what was replayed before, or failed three times.")
@json_option
@click.pass_obj
def replay_dead_letters(
    settings: Settings,
    reasons: tuple[str, ...],
    topics: tuple[str, ...],
    since: datetime | None,
    ids: tuple[str, ...],
    dry_run: bool,
    again: bool,
    as_json: bool,
) -> None:
    """Send dead letters to their source topics again, after a fix; without filters all of them.

    Fails if the filters chose some and none could be sent.
    """
    from stream.operations.dead_letter_log import Wanted
    from stream.operations.dead_letter_replay import replay

    wanted = Wanted(reasons=reasons, topics=topics, ids=ids, since=since)
    outcome = asyncio.run(replay(settings, wanted, again=again, dry_run=dry_run))
    if as_json:
        show.json_object(outcome)
    else:
        # The refused ones have a table of their own.
        sums = {n: v for n, v in msgspec.to_builtins(outcome).items() if n != "refused"}
        show.record("would be replayed" if dry_run else "replayed", sums, as_json=False)
        if outcome.refused:
            show.table("not replayed", outcome.refused, columns=("id", "why"))
    if outcome.refused and not outcome.replayed:
        sys.exit(FAILED)
