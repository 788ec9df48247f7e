"""What commands share: options, a progress bar, loading the model, running a service."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
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

from models.spec import Head, ModelError, Predictor
from stream.config.settings import Settings, SettingsError, load_settings
from stream.connections.clients import RESTART_S, redis_client, redis_remedy
from stream.ingest.text import printable
from stream.names import Keys
from stream.rules.rule_error import RuleError
from stream.runtime.errors import StartError
from stream.terminal import show

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from models.registry import Registry

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


def load_predictor(settings: Settings, path: Path | None = None) -> Predictor:
    """The model of model_folder."""
    return _load(settings, model_folder(settings, path))


def model_folder(settings: Settings, path: Path | None = None) -> Path:
    """The folder path, else the registry's champion, else model.path, else the shipped model."""
    from models.description import shipped

    if path is None and settings.model.registry:
        champions = RegistryChampions(settings)
        version = champions.version()
        path = champions.registry.folder(version) if version else None
    return path or settings.model.path or shipped()


def how_to_serve(settings: Settings, output: Path, version: str) -> str:
    """What to do with a model that a command wrote, in words."""
    if settings.model.registry:
        return (
            f"To serve it:\nbellwether models add {output}\n"
            f'bellwether models promote {version} --why "…"'
        )
    return f'To serve it, write into bellwether.toml:\n[model]\npath = "{output}"'


def load_heads(settings: Settings) -> tuple[Head, ...]:
    """The heads of the model that load_predictor would load, without loading it."""
    from models.description import CONFIG, read_description, shipped

    if settings.model.registry:
        champions = RegistryChampions(settings)
        if version := champions.version():
            return champions.registry.describe(version).heads
    file = (settings.model.path or shipped()) / CONFIG
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(
            f"setting model.path: {file} can't be read ({error.strerror}); correct the path"
        ) from None
    return read_description(content, str(file)).heads


class RegistryChampions:
    """stream.serving.follower.Champions over the registry of the settings."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError or ModelError."""
        self._settings = settings
        self.registry = open_registry(settings)

    def version(self) -> str | None:
        from models.registry import CHAMPION

        return self.registry.version_of(CHAMPION) or None

    def challenger(self) -> str | None:
        from models.registry import CHALLENGER

        if not self._settings.model.shadow_share:
            return None
        return self.registry.version_of(CHALLENGER) or None

    def load(self, version: str, beside: Predictor) -> Predictor:
        predictor = _load(self._settings, self.registry.folder(version), beside)
        predictor.warm_up()
        return predictor


def _load(settings: Settings, path: Path, beside: Predictor | None = None) -> Predictor:
    from models.predictor import TorchPredictor, load_predictor

    model = settings.model
    return load_predictor(
        path,
        encoder=model.encoder,
        device=model.device,
        precision=model.precision,
        threads=model.threads,
        beside=beside if isinstance(beside, TorchPredictor) else None,
    )


def open_registry(settings: Settings) -> Registry:
    """The registry of the settings; SettingsError where none is set."""
    from models.registry import Registry

    if settings.model.registry is None:
        raise SettingsError(
            "setting model.registry: is not set; give the folder (or address) where the versions "
            "of the model are to be kept (BELLWETHER_MODEL__REGISTRY)"
        )
    return Registry(settings.model.registry)


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


def run_service(
    serve: Callable[[asyncio.Event], Coroutine[Any, Any, T]], *, leave_at_once: bool = False
) -> T:
    """Run a service whose stop event is set by SIGTERM and SIGINT."""

    async def until_signal() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            return await serve(stop)
        except (StartError, SettingsError, RuleError) as error:
            if not leave_at_once:
                raise
            # Before asyncio.run waits for Faust's tasks, which may swallow their cancellation, and
            # for the threads of Faust and the model: a worker that can't go on must end.
            sys.stderr.write(f"bellwether: {printable(str(error))}\n")
            sys.stderr.flush()
            os._exit(FAILED if isinstance(error, StartError) else WRONG_USAGE)

    return asyncio.run(until_signal())


async def start_unless(stop: asyncio.Event, start: Coroutine[Any, Any, None]) -> None:
    """Start a service, or end the process as done where stop is set before that.

    Nothing was consumed by then, and half a start can't be undone.
    """
    starting = asyncio.ensure_future(start)
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        os._exit(0)
    stopped.cancel()
    await starting


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
