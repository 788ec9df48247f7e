"""score and evaluate: the model on files, without Kafka."""

from __future__ import annotations

from pathlib import Path

import click

from stream import show
from stream.commands.options import (
    FILE,
    config_option,
    json_option,
    load_predictor,
    progress_bar,
)
from stream.settings import Settings


@click.command()
@config_option
@click.argument("file", type=FILE)
@click.option("--output", type=FILE, required=True, help="Scored records, one a line.")
@click.option("--model", type=FILE, help="A checkpoint folder; else model.path, else the shipped.")
@json_option
@click.pass_obj
def score(settings: Settings, file: Path, output: Path, model: Path | None, as_json: bool) -> None:
    """Score the JSON lines of FILE without Kafka, in input order."""
    from stream.offline import score_file
    from stream.publish import count_lines

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


@click.command()
@config_option
@click.option("--data", type=FILE, required=True, help="JSON lines, TSV or CSV with labels.")
@click.option("--head", required=True, help="Which head to evaluate, for example sentiment.")
@click.option("--text-column", default="text", show_default=True)
@click.option("--label-column", default="label", show_default=True)
@click.option("--mapping", type=FILE, help="JSON object from the file's labels to the head's.")
@click.option("--model", type=FILE, help="A checkpoint folder; else model.path, else the shipped.")
@json_option
@click.pass_obj
def evaluate(
    settings: Settings,
    data: Path,
    head: str,
    text_column: str,
    label_column: str,
    mapping: Path | None,
    model: Path | None,
    as_json: bool,
) -> None:
    """Measure a head on a labelled file."""
    from trainer.evaluate import evaluate_file

    predictor = load_predictor(settings, model)
    predictor.warm_up()
    figures = evaluate_file(
        predictor, data, head, text_column=text_column, label_column=label_column, mapping=mapping
    )
    show.record(f"{head} on {data.name}", figures, as_json=as_json)
