"""fit: fine-tune the model on a file of labelled texts."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.commands.answering import show_sources
from stream.commands.chosen_model import how_to_serve, model_folder
from stream.commands.options import (
    FILE,
    config_option,
    json_option,
    labelled_file,
    model_option,
    progress_bar,
)
from stream.commands.parameters import Finite
from stream.config.settings import Settings
from stream.ingest.text import printable
from stream.terminal import show

if TYPE_CHECKING:
    from trainer.data.labelled_file import LabelledFile
    from trainer.fitting.adapters import Method
    from trainer.fitting.tune import Tuned

INTERRUPTED = 130
SHOWN_FIGURES = ("n", "accuracy", "macro_f1", "ece", "answered", "wrong_among_answered")
SHARE = Finite(min=0, max=1, max_open=True)
NATURAL = click.IntRange(min=0)
AT_LEAST_ONE = click.IntRange(min=1)


class _Rates(click.ParamType):
    name = "RATE[,RATE...]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            rates = tuple(float(one) for one in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no number and no list such as 1e-5,1e-4", param, ctx)
        if not all(0 < rate <= 1 for rate in rates):
            self.fail("a rate is above 0 and at most 1, for example 1e-4", param, ctx)
        return rates


@click.command()
@config_option
@labelled_file
@click.option("--head", required=True, help="A new name for a head of your own, or topic, …")
@click.option("--output", type=FILE, required=True, help="A new folder for the model.")
@click.option(
    "--method",
    type=click.Choice(["heads", "lora", "full"]),
    default="full",
    show_default=True,
    help="Train the head alone, low-rank adapters too, or the whole encoder.",
)
@click.option("--epochs", type=AT_LEAST_ONE, help="[default: 6; with --method heads 30]")
@click.option(
    "--rate", type=_Rates(), default=(), help="Peak learning rate; several with --cross-validate."
)
@click.option("--cross-validate", type=NATURAL, default=0, help="Try the rates on so many folds.")
@click.option(
    "--batch-size", type=AT_LEAST_ONE, default=32, show_default=True, help="Texts a step."
)
@click.option(
    "--weight-decay", type=Finite(min=0), default=0.01, show_default=True, help="L2 on the weights."
)
@click.option("--dropout", type=SHARE, default=0.1, show_default=True, help="On the pooled vector.")
@click.option(
    "--hide-words",
    "hide_share",
    type=SHARE,
    help="Share of tokens hidden (augmentation). [default: 0.05, for a new head 0.1]",
)
@click.option(
    "--balance",
    "class_balance",
    type=Finite(0, 1),
    default=0.0,
    show_default=True,
    help="0: every text counts the same; 1: every label does.",
)
@click.option(
    "--patience",
    type=NATURAL,
    default=0,
    show_default=True,
    help="Stop after so many epochs without a better one; 0 never.",
)
@click.option(
    "--validation-share",
    type=Finite(0.01, 0.5),
    default=0.1,
    show_default=True,
    help="Share of the texts held out.",
)
@click.option(
    "--seed", type=int, default=13, show_default=True, help="Changes the fit, not what is held out."
)
@click.option("--unlabelled", type=FILE, help="A file of texts without labels.")
@click.option(
    "--adapt-epochs",
    type=NATURAL,
    default=0,
    show_default=True,
    help="Masked language modelling on --unlabelled first.",
)
@click.option(
    "--pseudo-label",
    is_flag=True,
    help="Fit again, also on the confident answers to --unlabelled.",
)
@click.option("--tensorboard", type=FILE, help="Folder for TensorBoard logs.")
@model_option
@json_option
@click.pass_obj
def fit(
    settings: Settings,
    /,
    *,
    data: LabelledFile,
    head: str,
    output: Path,
    method: Method,
    rate: tuple[float, ...],
    cross_validate: int,
    validation_share: float,
    unlabelled: Path | None,
    adapt_epochs: int,
    pseudo_label: bool,
    tensorboard: Path | None,
    model: Path | None,
    as_json: bool,
    **hyperparameters: Any,
) -> None:
    """Fine-tune the model on labelled texts, for a new head or one it has.

    The other heads go on answering as before, and model.path = "OUTPUT" in the settings serves them
    all in one pass. Interrupted, the same command goes on after the last whole epoch.
    """
    from models.description import read_verified
    from models.predictor import choose_device
    from trainer.fitting.config import bf16_helps, default_config
    from trainer.fitting.cross_validate import with_rate
    from trainer.fitting.fit import Watch
    from trainer.fitting.request import Request
    from trainer.fitting.tensorboard import logged
    from trainer.fitting.tune import tune

    if (adapt_epochs or pseudo_label) != bool(unlabelled):
        raise click.UsageError("--unlabelled goes with --adapt-epochs or --pseudo-label")
    if len(rate) > 1 and not cross_validate:
        raise click.UsageError("several rates need --cross-validate K to choose among them")
    parent = model_folder(settings, model)
    has = {one.name for one in read_verified(parent)[0].heads}
    bf16 = bf16_helps(choose_device(settings.model.device))
    # The other options have the names of FitConfig's fields.
    config = default_config(method, new_head=head not in has, bf16=bf16, **hyperparameters)
    request = Request(
        data=data,
        head=head,
        output=output,
        config=with_rate(config, rate[0]) if rate else config,
        parent=parent,
        encoder=settings.model.encoder,
        device=settings.model.device,
        validation_share=validation_share,
        folds=cross_validate,
        rates=rate,
        unlabelled=unlabelled,
        adapt_epochs=adapt_epochs,
        pseudo_label=pseudo_label,
    )

    def say(line: object) -> None:
        click.echo(printable(str(line)), err=as_json)

    with ExitStack() as stack:
        progress = stack.enter_context(progress_bar(as_json, transient=True))
        bar = progress.add_task("reading", total=None)

        def on_step(done: int, of: int, loss: float) -> None:
            progress.update(bar, completed=done, total=of, description=f"loss {loss:.3f}")

        watch = Watch(epoch=say, step=on_step)
        if tensorboard:
            watch = stack.enter_context(logged(watch, tensorboard))
        try:
            tuned = tune(request, watch=watch, say=say)
        except KeyboardInterrupt:
            progress.stop()
            _say_how_to_go_on(output)
            sys.exit(INTERRUPTED)
    _show(tuned, output, head, as_json=as_json)
    if not as_json:
        click.echo(how_to_serve(settings, output, tuned.checkpoint.version))


def _say_how_to_go_on(output: Path) -> None:
    from trainer.fitting.resume import state_path
    from trainer.fitting.tune import STAGES

    if any(state_path(output, stage).exists() for stage in STAGES):
        click.echo("Stopped. The same command goes on after the last whole epoch.", err=True)
    else:
        click.echo("Stopped before the first epoch was whole; nothing was written.", err=True)


def _show(tuned: Tuned, output: Path, head: str, *, as_json: bool) -> None:
    from trainer.fitting.calibrate import in_words

    figures = {name: tuned.figures[name] for name in SHOWN_FIGURES}
    record: dict[str, Any] = {
        "version": tuned.checkpoint.version,
        "output": str(output),
        "head": head,
        **{f"validation_{name}": value for name, value in figures.items()},
        "calibration": tuned.calibration,
        "answers_as_before": tuned.kept,
    }
    if as_json:
        record["validation_by_source"] = tuned.figures["by_source"]
        record["per_label"] = tuned.figures["per_label"]
        record["epochs"] = [epoch.to_dict() for epoch in tuned.epochs]
    else:
        record |= {name: round(value, 4) for name, value in record.items() if type(value) is float}
        record["calibration"] = in_words(tuned.calibration)
    show.record(tuned.checkpoint.version, record, as_json=as_json)
    if not as_json:
        show_sources(tuned.figures)
