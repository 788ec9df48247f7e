"""The command line: global options, error to exit code, and the list of commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from models.spec import ModelError
from stream.alerts.lifecycle import LifecycleError
from stream.alerts.silences import SilenceError
from stream.commands import (
    alerts,
    console,
    dead_letters,
    demo,
    doctor,
    evaluate,
    explain,
    feedback,
    fit,
    ledger,
    models,
    prune,
    publish,
    routes,
    rules,
    score,
    silences,
    trainer,
    worker,
)
from stream.commands.options import FAILED, WRONG_USAGE
from stream.config.settings import SettingsError, load_settings
from stream.config.spelling import closest
from stream.connections.outbox import TooLargeForTopicError
from stream.demo.embedded import EmbeddedError
from stream.files.lines import InputError
from stream.ingest.text import printable
from stream.rules.rule_error import RuleError
from stream.runtime.errors import StartError
from stream.terminal.logs import set_up_logging
from trainer.errors import TrainerError


class _Commands(click.Group):
    """Turns the errors we raise on purpose into one sentence on stderr and an exit code."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        close = closest(args[0], self.commands)
        if close and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {close!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (SettingsError, RuleError, ModelError) as error:
            _fail(error, WRONG_USAGE)
        except (
            StartError,
            InputError,
            EmbeddedError,
            LifecycleError,
            SilenceError,
            TooLargeForTopicError,
            TrainerError,
            RedisError,
            KafkaError,
        ) as error:
            _fail(error, FAILED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bellwether")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file; else bellwether.toml where it exists, else the defaults.",
)
@click.option(
    "--log-level",
    default="INFO",
    show_default=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"]),
)
@click.pass_context
def main(context: click.Context, config: Path | None, log_level: str) -> None:
    """Score streams of news, posts and tickets; raise alerts people can trust."""
    set_up_logging(log_level)
    context.obj = load_settings(config)


for command in (
    demo.demo,
    worker.worker,
    trainer.trainer,
    console.console,
    publish.publish,
    score.score,
    evaluate.evaluate,
    fit.fit,
    prune.prune,
    models.models,
    feedback.feedback,
    rules.rules,
    rules.backtest,
    explain.explain,
    ledger.ledger,
    doctor.doctor,
    alerts.alerts,
    dead_letters.dead_letters,
):
    main.add_command(command)


for command in (silences.silence, silences.unsilence, silences.silences, routes.route):
    alerts.alerts.add_command(command)


def _fail(error: Exception, code: int) -> NoReturn:
    sys.stderr.write(f"bellwether: {printable(str(error))}\n")
    sys.exit(code)
