"""prune: leave out attention heads that the answers hardly rest on, and say what that does."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from stream import show
from stream.commands.options import FILE, config_option, json_option
from stream.settings import Settings

COLUMNS = ("model", "path", "accuracy", "ECE", "other answers", "texts/s", "speed")
SHARE = click.FloatRange(min=0, max=1, min_open=True, max_open=True)


@click.command()
@config_option
@click.option("--data", type=FILE, required=True, help="JSON lines, TSV or CSV with labels.")
@click.option("--head", required=True, help="Which head they are for, for example sentiment.")
@click.option("--output", type=FILE, required=True, help="A new folder for the model.")
@click.option("--share", type=SHARE, default=0.2, show_default=True, help="Of all attention heads.")
@click.option(
    "--max-loss",
    type=click.FloatRange(min=0, max=1),
    default=0.01,
    show_default=True,
    help="Refuse to lose more accuracy, or to change more of another head's answers.",
)
@click.option("--text-column", default="text", show_default=True)
@click.option("--label-column", default="label", show_default=True)
@click.option("--mapping", type=FILE, help="JSON object from the file's labels to the head's.")
@click.option("--model", type=FILE, help="A checkpoint folder; else model.path, else the shipped.")
@json_option
@click.pass_obj
def prune(
    settings: Settings,
    data: Path,
    head: str,
    output: Path,
    share: float,
    max_loss: float,
    text_column: str,
    label_column: str,
    mapping: Path | None,
    model: Path | None,
    as_json: bool,
) -> None:
    """Write a smaller, faster model: attention heads left out, accuracy and speed told.

    Half of the file chooses the heads, the other half judges. Where it costs more than --max-loss,
    nothing is written.
    """
    from models.checkpoint import read_checkpoint
    from models.description import shipped
    from trainer.evaluate import find_head, read_labelled
    from trainer.prune import prune as leave_out
    from trainer.prune import to_rows

    folder = model or settings.model.path or shipped()
    spec = find_head(read_checkpoint(folder)[0].heads, head)
    examples = read_labelled(
        data, spec, text_column=text_column, label_column=label_column, mapping=mapping
    )
    pruned = leave_out(
        folder,
        output,
        examples,
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
    show.table(f"{head} on {data.name}", to_rows(pruned), columns=COLUMNS)
    click.echo(f"{len(pruned.left_out)} attention heads left out: {pruned.checkpoint.version}")
    click.echo(f'To serve it, write into bellwether.toml:\n[model]\npath = "{output}"')
