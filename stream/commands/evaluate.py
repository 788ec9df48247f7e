"""evaluate: how good a head is on a labelled file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.commands.answering import shares, show_sources
from stream.commands.chosen_model import load_predictor
from stream.commands.options import config_option, json_option, labelled_file, model_option
from stream.config.settings import Settings
from stream.ingest.text import printable
from stream.terminal import show

if TYPE_CHECKING:
    from trainer.data.labelled_file import LabelledFile

MOST_TAKEN = 3


@click.command()
@config_option
@labelled_file
@click.option("--head", required=True, help="Which head to evaluate, for example sentiment.")
@model_option
@json_option
@click.pass_obj
def evaluate(
    settings: Settings,
    data: LabelledFile,
    head: str,
    model: Path | None,
    as_json: bool,
) -> None:
    """Measure a head on a labelled file."""
    from trainer.evaluate import evaluate_file

    predictor = load_predictor(settings, model)
    predictor.warm_up()
    figures = evaluate_file(
        predictor,
        data,
        head,
        say=lambda remark: click.echo(printable(remark), err=True),
    )
    if as_json:
        show.json_object(figures)
    else:
        _show_figures(f"{head} on {data.path.name}", figures)


def _show_figures(title: str, figures: dict[str, Any]) -> None:
    """The figures as a whole, what each label is taken for, and how far a confidence is right."""
    whole = {
        "texts": f"{figures['n']:,}",
        "accuracy": f"{figures['accuracy']:.3f}",
        "macro F1": f"{figures['macro_f1']:.3f}",
        "calibration error": f"{figures['ece']:.3f}",
        **shares(figures),
    }
    show.record(title, whole, as_json=False)
    show_sources(figures)
    labels = []
    for label, own in figures["per_label"].items():
        answers = figures["confusion"].get(label, {})
        wrong = sorted(((n, other) for other, n in answers.items() if other != label), reverse=True)
        labels.append(
            {"label": label, "texts": own["n"]}
            | {name: f"{own[name]:.3f}" for name in ("precision", "recall", "f1")}
            | {"taken for": ", ".join(f"{other} {n}" for n, other in wrong[:MOST_TAKEN])}
        )
    show.table("labels", labels, columns=tuple(labels[0]))
    bins = figures["reliability"]
    confidences = [
        {
            "confidence": f"{place / len(bins):.2f} to {(place + 1) / len(bins):.2f}",
            "texts": one["n"],
            "mean": f"{one['confidence']:.3f}",
            "right": f"{one['accuracy']:.3f}",
        }
        for place, one in enumerate(bins)
        if one["n"]
    ]
    show.table("confidences", confidences, columns=tuple(confidences[0]))
