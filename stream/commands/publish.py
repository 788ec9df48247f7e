"""publish: JSON lines into the source topics."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from stream.commands.options import FILE, config_option, json_option, progress_bar
from stream.commands.parameters import POSITIVE
from stream.config.settings import Settings
from stream.terminal import show


@click.command()
@config_option
@click.argument("file", type=FILE)
@click.option("--rate", type=POSITIVE, help="Lines a second; else as fast as Kafka takes them.")
@json_option
@click.pass_obj
def publish(settings: Settings, file: Path, rate: float | None, as_json: bool) -> None:
    """Send the JSON lines of FILE to the source topics.

    Partitions are read side by side, so a worker gets old records sent at once out of order; for
    what rules would have alerted on in the past, use score and backtest.
    """
    from stream.connections.outbox import open_outbox
    from stream.connections.topics import prepare_topics
    from stream.files.lines import read_lines
    from stream.files.publish import Addresser
    from stream.files.publish import publish as send

    addresser = Addresser(settings)

    async def play() -> int:
        await prepare_topics(settings)
        async with open_outbox(settings.kafka) as outbox:
            with progress_bar(as_json) as progress:
                task = progress.add_task("published", total=None)
                await send(
                    read_lines([file]),
                    addresser=addresser,
                    outbox=outbox,
                    rate=rate,
                    published=lambda batch: progress.advance(task, len(batch)),
                )
                return int(progress.tasks[0].completed)

    sent = asyncio.run(play())
    refused = addresser.refused
    summary = {
        "published": sent - refused.total(),
        "dead_letters": refused.total(),
        "dead_letters_by_reason": dict(refused),
    }
    show.record("published", summary, as_json=as_json)
