"""demo: everything on embedded parts, with a feed and a lesson."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream.commands.chosen_model import RegistryChampions, load_predictor, open_registry
from stream.commands.options import FILE, config_option, json_option
from stream.commands.parameters import POSITIVE
from stream.commands.service import run_service
from stream.config.settings import Settings
from stream.records import utc_now
from stream.terminal import show
from stream.terminal.logs import set_up_logging

if TYPE_CHECKING:
    from models.registry import Alias
    from stream.demo.lesson import Parts


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
    from stream.demo.play import FEED_RATE, Plan, run_demo
    from stream.demo.trainer_process import teaches
    from stream.files.lines import check_readable

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
    from stream.serving.champions import promote

    registry = open_registry(settings)
    checkpoint, weights = read_checkpoint(registry.folder(registry.history(CHAMPION)[-1].version))
    weights["heads.weight"] = weights["heads.weight"].roll(1, dims=0)
    with tempfile.TemporaryDirectory(prefix="bellwether-") as temporary:
        folder = Path(temporary) / "version"
        spoilt = write_checkpoint(folder, checkpoint, weights).version
        registry.add(folder)
    why = "somebody mixed up its labels, and insists"
    return promote(registry, spoilt, by="eve", why=why, now=utc_now())
