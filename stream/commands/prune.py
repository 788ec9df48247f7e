"""prune: leave out attention heads that the answers hardly rest on, and say what that does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stream.commands.chosen_model import how_to_serve, model_folder
from stream.commands.options import FILE, config_option, json_option, labelled_file, model_option
from stream.commands.parameters import Finite
from stream.config.settings import Settings
from stream.ingest.text import printable
from stream.terminal import show

if TYPE_CHECKING:
    from trainer.data.labelled_file import LabelledFile
    from trainer.prune import Way

COLUMNS = ("model", "path", "accuracy", "ECE", "changed answers", "texts/s", "speed")
SHARE = Finite(min=0, max=1, min_open=True, max_open=True)


@click.command()
@config_option
@labelled_file
@click.option("--head", required=True, help="Which head the labels are for, for example sentiment.")
@click.option("--output", type=FILE, required=True, help="A new folder for the model.")
@click.option(
    "--share",
    type=SHARE,
    default=0.2,
    show_default=True,
    help="Share of all attention heads to leave out.",
)
@click.option(
    "--max-loss",
    type=Finite(min=0, max=1),
    default=0.01,
    show_default=True,
    help="Refuse to lose more accuracy, or to change more of another head's answers.",
)
@model_option
@json_option
@click.pass_obj
def prune(
    settings: Settings,
    data: LabelledFile,
    head: str,
    output: Path,
    share: float,
    max_loss: float,
    model: Path | None,
    as_json: bool,
) -> None:
    """Write a smaller, faster model without the attention heads that matter least.

    Half of the file chooses them, the other half judges: accuracy and speed are reported. Where
    it costs more than --max-loss, nothing is written.
    """
    from models.checkpoint import read_checkpoint
    from trainer.data.labelled_file import read_labelled
    from trainer.evaluate import find_head, require_examples
    from trainer.prune import prune as leave_out

    checkpoint, weights = read_checkpoint(model_folder(settings, model))
    spec = find_head(checkpoint.heads, head)
    examples, remarks = read_labelled(data, spec)
    for remark in remarks:
        click.echo(printable(remark), err=True)
    pruned = leave_out(
        checkpoint,
        weights,
        output,
        require_examples(examples, data.path),
        spec,
        share=share,
        max_loss=max_loss,
        encoder=settings.model.encoder,
    )
    if as_json:
        ways = [way._asdict() for way in pruned.ways]
        show.json_object(
            {
                "version": pruned.checkpoint.version,
                "output": str(output),
                "heads_left_out": msgspec.to_builtins(pruned.left_out),
                "ways": ways,
            }
        )
        return
    show.table(f"{head} on {data.path.name}", _rows(pruned.ways), columns=COLUMNS)
    click.echo(f"{len(pruned.left_out)} attention heads left out: {pruned.checkpoint.version}")
    click.echo(how_to_serve(settings, output, pruned.checkpoint.version))


def _rows(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """The ways for people, speed beside that of the exact whole model, which comes first."""
    return [
        {
            "model": "pruned" if way.pruned else "whole",
            "path": way.path,
            "accuracy": f"{way.accuracy:.3f}",
            "ECE": f"{way.ece:.3f}",
            "changed answers": ", ".join(f"{name} {one:.1%}" for name, one in way.changed.items()),
            "texts/s": f"{way.texts_per_s:,.0f}",
            "speed": f"{way.texts_per_s / ways[0].texts_per_s:.2f}",
        }
        for way in ways
    ]
