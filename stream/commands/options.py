"""What commands share: options, exit codes, a progress bar, and a Redis that answers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stream.config.settings import Settings, load_settings
from stream.connections.clients import RESTART_S, redis_client, redis_remedy
from stream.names import Keys
from stream.runtime.errors import StartError
from stream.terminal import show

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

FAILED = 1
WRONG_USAGE = 2
FILE = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
model_option = click.option(
    "--model",
    type=FILE,
    help="A checkpoint folder; else the registry's champion, else model.path, else the shipped.",
)


def labelled_file(command: Callable[..., T]) -> Callable[..., T]:
    """A file of labelled texts and how to read it, which the command gets as data."""

    @functools.wraps(command)
    def with_file(
        *args: Any,
        data: Path,
        text_column: str,
        title_column: str,
        label_column: str,
        mapping: Path | None,
        **options: Any,
    ) -> T:
        from trainer.data.labelled_file import LabelledFile

        file = LabelledFile(data, text_column, title_column, label_column, mapping)
        return command(*args, data=file, **options)

    decorated: Callable[..., T] = with_file
    for option in (
        click.option(
            "--mapping", type=FILE, help="JSON object from the file's labels to the head's."
        ),
        click.option("--label-column", default="label", show_default=True),
        click.option(
            "--title-column",
            default="title",
            show_default=True,
            help="Read before the text, as in the stream, where the file has it.",
        ),
        click.option("--text-column", default="text", show_default=True),
        click.option(
            "--data", type=FILE, required=True, help="JSON lines, TSV or CSV with labels."
        ),
    ):
        decorated = option(decorated)
    return decorated


def config_option(command: Callable[..., T]) -> Callable[..., T]:
    """--config is also taken after the command's name, where people type it."""

    def replace_settings(
        context: click.Context, _parameter: click.Parameter, value: Path | None
    ) -> None:
        if value is not None:
            context.obj = load_settings(value)

    return click.option(
        "--config",
        type=FILE,
        callback=replace_settings,
        expose_value=False,
        is_eager=True,
        help="Settings file.",
    )(command)


async def with_redis(settings: Settings, ask: Callable[[Redis, Keys], Coroutine[Any, Any, T]]) -> T:
    """What ask says, given a Redis that answers; one that restarts is waited for.

    Raises StartError without one.
    """
    from redis.exceptions import RedisError

    client = redis_client(settings.redis, restart_s=RESTART_S)
    async with client:
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            raise StartError(f"Redis can't be reached ({error}); {redis_remedy(error)}") from error
        return await ask(client, Keys(settings.redis.prefix))


def progress_bar(quiet: bool, *, transient: bool = False) -> Progress:
    """On stderr; transient: it is gone at the end."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=show.stderr,
        disable=quiet,
        transient=transient,
    )
