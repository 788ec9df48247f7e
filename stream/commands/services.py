"""demo, worker, trainer and publish: the commands that put records through Kafka."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream import show
from stream.commands.options import (
    FAILED,
    FILE,
    RegistryChampions,
    config_option,
    json_option,
    load_predictor,
    open_registry,
    progress_bar,
    run_service,
)
from stream.commands.parameters import POSITIVE
from stream.logs import set_up_logging
from stream.records import utc_now
from stream.settings import Settings, SettingsError

if TYPE_CHECKING:
    from models.registry import Alias
    from stream.demo.lesson import Parts
    from trainer.service import TrainerService


@click.command()
@config_option
@click.option(
    "--input",
    "inputs",
    type=FILE,
    multiple=True,
    help="JSON lines, plain or .gz; else the built-in feed.",
)
@click.option("--max-events", type=click.IntRange(min=1), help="End after this many lines.")
@click.option("--seconds", type=POSITIVE, help="End after this long at the latest.")
@click.option(
    "--rate",
    type=POSITIVE,
    help="Lines a second; else 25, but with --input or --json as fast as they are scored.",
)
@click.option("--no-console", is_flag=True, help="Do not serve the web console.")
@json_option
@click.pass_obj
def demo(
    settings: Settings,
    inputs: tuple[Path, ...],
    max_events: int | None,
    seconds: float | None,
    rate: float | None,
    no_console: bool,
    as_json: bool,
) -> None:
    """Run everything on embedded parts and play a feed through it.

    Played whole, the built-in feed ends with a lesson: labels teach the live model a new kind of
    ticket, and what would make it worse is refused or taken back. With --input, --max-events,
    --json, or a model or registry of your own there is no lesson.
    """
    from stream.commands.console import serving
    from stream.demo.classroom import teaches
    from stream.demo.play import FEED_RATE, Plan, run_demo
    from stream.publish import check_readable

    check_readable(inputs)
    live = not as_json and sys.stderr.isatty()
    if live or as_json:
        set_up_logging("ERROR" if live else "WARNING")
    plan = Plan(
        inputs=inputs,
        max_events=max_events,
        seconds=seconds,
        rate=rate if rate or inputs or as_json else FEED_RATE,
        until_stopped=not (as_json or max_events or seconds),
        show=live,
    )
    predictor = load_predictor(settings)
    console = None if no_console or as_json else serving
    # Only a demo for people; and a model or a registry of theirs is not ours to play with.
    model = settings.model
    plain = inputs or max_events or as_json or model.registry or model.path or not teaches(settings)
    lesson = None if plain else lesson_parts()
    summary = run_service(lambda stop: run_demo(settings, predictor, plan, stop, console, lesson))
    show.record("summary", summary, as_json=as_json)


def lesson_parts() -> Parts:
    """What the demo's lesson needs of registry, trainer and model."""
    from models.registry import CHAMPION
    from stream.commands.label_log_file import LabelLogFile
    from stream.demo.lesson import Parts

    return Parts(
        champions=RegistryChampions,
        # None before the trainer has a label log.
        verdicts=lambda settings: [one["verdict"] for one in LabelLogFile(settings).attempts()],
        history=lambda settings: open_registry(settings).history(CHAMPION),
        spoil=_spoil,
    )


def _spoil(settings: Settings) -> Alias:
    """The champion with each label's weights given to the next one, made champion."""
    from models.checkpoint import read_checkpoint, write_checkpoint
    from models.registry import CHAMPION
    from stream.score.champions import promote

    registry = open_registry(settings)
    checkpoint, weights = read_checkpoint(registry.folder(registry.history(CHAMPION)[-1].version))
    weights["heads.weight"] = weights["heads.weight"].roll(1, dims=0)
    with tempfile.TemporaryDirectory(prefix="bellwether-") as temporary:
        folder = Path(temporary) / "version"
        spoilt = write_checkpoint(folder, checkpoint, weights).version
        registry.add(folder)
    why = "somebody mixed up its labels, and insists"
    return promote(registry, spoilt, by="eve", why=why, now=utc_now())


@click.command()
@config_option
@click.pass_obj
def worker(settings: Settings) -> None:
    """Consume the sources, score, alert and route until SIGTERM."""
    from stream.app import Worker
    from stream.heap import spare_long_lived
    from stream.operations.freeze import ended_if_frozen
    from stream.operations.http import serve_http
    from stream.operations.monitor import WorkerMonitor
    from stream.operations.watchdog import GIVE_UP

    champions = RegistryChampions(settings) if settings.model.registry else None
    service = Worker(settings, load_predictor(settings), champions)

    async def serve(stop: asyncio.Event) -> None:
        starting = asyncio.create_task(service.start())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            os._exit(0)  # nothing was consumed yet, and a half-started consumer can't be stopped
        await starting
        spare_long_lived()
        async with ended_if_frozen(GIVE_UP * settings.http.stall_s):
            await service.run(stop)
            drained = await service.stop()
        if not drained:
            sys.stderr.write(
                f"bellwether: not drained within worker.drain_s ({settings.worker.drain_s:.0f} s); "
                "what was left is read again by the next worker\n"
            )
            # A broker that is gone keeps Faust's own shutdown waiting for ever.
            os._exit(FAILED)

    async def watched(stop: asyncio.Event) -> None:
        async with serve_http(settings.http, WorkerMonitor(service)):
            await serve(stop)

    run_service(watched, leave_at_once=True)


@click.command()
@config_option
@click.pass_obj
def trainer(settings: Settings) -> None:
    """Learn from feedback until SIGTERM: fit, judge, publish, and take back what is worse."""
    from stream.operations.http import serve_http
    from stream.operations.trainer_monitor import TrainerMonitor
    from stream.topics import prepare_topics
    from trainer.priority import stand_back

    service = trainer_service(settings)
    stand_back()

    monitor = TrainerMonitor(service.status, stall_s=settings.http.stall_s)

    async def serve(stop: asyncio.Event) -> None:
        async with serve_http(settings.http, monitor):
            await prepare_topics(settings)
            await service.start()
            try:
                await service.run(stop)
            finally:
                await service.stop()

    run_service(serve)


def trainer_service(settings: Settings) -> TrainerService:
    """The trainer of these settings, not started yet. Raises SettingsError or ModelError."""
    from stream.connection import kafka_arguments
    from trainer.gate import Limits
    from trainer.probation import Probation
    from trainer.schedule import Schedule
    from trainer.service import TrainerService
    from trainer.service_config import ServiceConfig

    chosen = settings.trainer
    if chosen.tensorboard and not find_spec("tensorboard"):
        raise SettingsError(
            "setting trainer.tensorboard: needs the train extra; pip install 'bellwether[train]', "
            "or leave the setting out"
        )
    return TrainerService(
        ServiceConfig(
            kafka=kafka_arguments(settings.kafka),
            topics=settings.topics,
            folder=chosen.folder,
            parent=settings.model.path,
            remember_events=chosen.remember_events,
            schedule=Schedule(
                chosen.refit_after_labels,
                chosen.refit_after_s,
                chosen.deep_after_labels,
                chosen.deep_after_s,
            ),
            limits=Limits(max_loss=chosen.max_loss, max_suspects=chosen.max_suspects),
            drift_above=chosen.drift_above,
            tensorboard=chosen.tensorboard,
            probation=Probation(chosen.shadow_events, chosen.shadow_s, chosen.shadow_max_change),
        ),
        open_registry(settings),
    )


@click.command()
@config_option
@click.argument("file", type=FILE)
@click.option("--rate", type=POSITIVE, help="Lines a second; else as fast as Kafka takes them.")
@json_option
@click.pass_obj
def publish(settings: Settings, file: Path, rate: float | None, as_json: bool) -> None:
    """Send the JSON lines of FILE to the source topics."""
    from stream.connection import kafka_arguments
    from stream.outbox import Outbox
    from stream.publish import Addresser, read_lines
    from stream.publish import publish as send
    from stream.topics import prepare_topics

    addresser = Addresser(settings)

    async def play() -> int:
        await prepare_topics(settings)
        outbox = Outbox(kafka_arguments(settings.kafka))
        await outbox.start()
        try:
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
        finally:
            await outbox.stop()

    sent = asyncio.run(play())
    refused = addresser.refused
    summary = {
        "published": sent - refused.total(),
        "dead_letters": refused.total(),
        "dead_letters_by_reason": dict(refused),
    }
    show.record("published", summary, as_json=as_json)
