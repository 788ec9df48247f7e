"""score: the stream's scoring of a file, without Kafka."""

from __future__ import annotations

from pathlib import Path

import click

from stream.commands.chosen_model import load_predictor
from stream.commands.options import FILE, config_option, json_option, model_option, progress_bar
from stream.config.settings import Settings
from stream.terminal import show


@click.command()
@config_option
@click.argument("file", type=FILE)
@click.option("--output", type=FILE, required=True, help="Scored records, one a line.")
@model_option
@json_option
@click.pass_obj
def score(settings: Settings, file: Path, output: Path, model: Path | None, as_json: bool) -> None:
    """Score the JSON lines of FILE without Kafka, in input order."""
    from stream.files.lines import check_readable, count_lines
    from stream.files.score import score_file

    if str(output) == "-":
        raise click.BadParameter(
            "scored records go to a file, which is written whole; name one", param_hint="--output"
        )
    check_readable([file])
    predictor = load_predictor(settings, model)
    predictor.warm_up()
    with progress_bar(as_json) as progress:
        task = progress.add_task("scored", total=None if as_json else count_lines(file))
        summary = score_file(
            file,
            output,
            settings=settings,
            predictor=predictor,
            progress=lambda lines: progress.advance(task, lines),
        )
    show.record("scored", summary, as_json=as_json)
