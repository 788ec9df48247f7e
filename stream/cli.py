"""The commands. Each parses, calls and prints; the work is done where the imports point."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import msgspec
from redis.exceptions import RedisError
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from models.spec import ModelError, Predictor
from stream import show
from stream.embedded import EmbeddedError
from stream.publish import InputError
from stream.rules import RuleError
from stream.settings import Settings, SettingsError, load_settings
from stream.telemetry import set_up_logging
from stream.topics import StartError
from trainer.evaluate import EvaluateError

T = TypeVar("T")

FAILED = 1
WRONG_USAGE = 2


class _Commands(click.Group):
    """Turns the errors we raise on purpose into one sentence on stderr and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (SettingsError, RuleError, ModelError) as error:
            _fail(error, WRONG_USAGE)
        except (StartError, InputError, EmbeddedError, EvaluateError, RedisError) as error:
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


def _config_option(command: Callable[..., T]) -> Callable[..., T]:
    """--config is also taken after the command's name, where people type it."""

    def replace_settings(
        context: click.Context, _parameter: click.Parameter, value: Path | None
    ) -> None:
        if value is not None:
            context.obj = load_settings(value)

    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        callback=replace_settings,
        expose_value=False,
        is_eager=True,
        help="Settings file.",
    )(command)


_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
_file = click.Path(path_type=Path)
_positive = click.FloatRange(min=0, min_open=True)


@main.command()
@_config_option
@click.option("--input", "inputs", type=_file, multiple=True, help="JSON lines, plain or .gz.")
@click.option("--max-events", type=click.IntRange(min=1), help="End after this many lines.")
@click.option("--seconds", type=_positive, help="End after this long at the latest.")
@click.option("--rate", type=_positive, help="Lines a second; else as fast as they are scored.")
@click.option("--no-console", is_flag=True, help="Accepted; there is no web console yet.")
@_json_option
@click.pass_obj
def demo(
    settings: Settings,
    inputs: tuple[Path, ...],
    max_events: int | None,
    seconds: float | None,
    rate: float | None,
    no_console: bool,  # noqa: ARG001 - part of the fixed command line
    as_json: bool,
) -> None:
    """Run everything on embedded parts and play a feed through it."""
    from stream.demo import FEED_RATE, Plan, run_demo

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
    predictor = _load_predictor(settings)
    summary = _run(lambda stop: run_demo(settings, predictor, plan, stop))
    show.record("summary", summary, as_json=as_json)


@main.command()
@_config_option
@click.pass_obj
def worker(settings: Settings) -> None:
    """Consume the sources, score, alert and route until SIGTERM."""
    from stream.app import Worker

    service = Worker(settings, _load_predictor(settings))

    async def serve(stop: asyncio.Event) -> None:
        await service.start()
        await service.run(stop)
        if not await service.stop():
            sys.stderr.write(
                f"bellwether: not drained within worker.drain_s ({settings.worker.drain_s:.0f} s); "
                "what was left is read again by the next worker\n"
            )
            # A broker that is gone keeps Faust's own shutdown waiting for ever.
            os._exit(FAILED)

    _run(serve, leave_at_once=True)


@main.command()
@_config_option
@click.argument("file", type=_file)
@click.option("--rate", type=_positive, help="Lines a second; else as fast as Kafka takes them.")
@_json_option
@click.pass_obj
def publish(settings: Settings, file: Path, rate: float | None, as_json: bool) -> None:
    """Send the JSON lines of FILE to the source topics."""
    from stream.outbox import Outbox
    from stream.publish import Addresser, read_lines
    from stream.publish import publish as send
    from stream.topics import prepare_topics

    async def play(_stop: asyncio.Event) -> dict[str, int]:
        await prepare_topics(settings)
        outbox = Outbox(settings.kafka.bootstrap)
        await outbox.start()
        try:
            with _progress(as_json) as progress:
                task = progress.add_task("published", total=None)
                await send(
                    read_lines([file]),
                    addresser=Addresser(settings),
                    outbox=outbox,
                    rate=rate,
                    published=lambda batch: progress.advance(task, len(batch)),
                )
                return {"published": int(progress.tasks[0].completed)}
        finally:
            await outbox.stop()

    show.record("published", _run(play), as_json=as_json)


@main.command()
@_config_option
@click.argument("file", type=_file)
@click.option("--output", type=_file, required=True, help="Scored records, one a line.")
@click.option("--model", type=_file, help="A checkpoint folder; else model.path, else the shipped.")
@_json_option
@click.pass_obj
def score(
    settings: Settings, file: Path, output: Path, model: Path | None, as_json: bool
) -> None:
    """Score the JSON lines of FILE without Kafka, in input order."""
    from stream.offline import score_file

    predictor = _load_predictor(settings, model)
    predictor.warm_up()
    with _progress(as_json) as progress:
        task = progress.add_task("scored", total=None)
        summary = score_file(
            file,
            output,
            settings=settings,
            predictor=predictor,
            progress=lambda lines: progress.advance(task, lines),
        )
    show.record("scored", summary, as_json=as_json)


@main.command()
@_config_option
@click.option("--data", type=_file, required=True, help="JSON lines, TSV or CSV with labels.")
@click.option("--head", required=True, help="Which head to evaluate, for example sentiment.")
@click.option("--text-column", default="text", show_default=True)
@click.option("--label-column", default="label", show_default=True)
@click.option("--mapping", type=_file, help="JSON object from the file's labels to the head's.")
@click.option("--model", type=_file, help="A checkpoint folder; else model.path, else the shipped.")
@_json_option
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

    predictor = _load_predictor(settings, model)
    predictor.warm_up()
    figures = evaluate_file(
        predictor, data, head, text_column=text_column, label_column=label_column, mapping=mapping
    )
    show.record(f"{head} on {data.name}", figures, as_json=as_json)


@main.command()
@_config_option
@_json_option
@click.pass_obj
def doctor(settings: Settings, as_json: bool) -> None:
    """Check broker, topics, Redis, model, device and rules; say what to do."""
    from stream.doctor import examine

    set_up_logging("ERROR")
    checks = asyncio.run(examine(settings, lambda: _load_predictor(settings)))
    healthy = all(check.status != "failed" for check in checks)
    if as_json:
        show.json_object({"healthy": healthy, "checks": checks})
    else:
        show.table("doctor", checks, columns=("name", "status", "detail"))
    if not healthy:
        sys.exit(FAILED)


@main.group()
def alerts() -> None:
    """Operate alerts."""


@alerts.command("list")
@_config_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@_json_option
@click.pass_obj
def list_alerts(settings: Settings, limit: int, as_json: bool) -> None:
    """Open alerts, the most recently seen first."""
    from stream.store import AlertStore

    found = asyncio.run(_with_store(settings, lambda store: AlertStore.list_open(store, limit)))
    if as_json:
        show.json_object({"alerts": found})
    else:
        show.table(
            "open alerts",
            found,
            columns=("id", "severity", "state", "count", "last_seen", "subject", "title"),
        )


@alerts.command("show")
@_config_option
@click.argument("alert_id")
@_json_option
@click.pass_obj
def show_alert(settings: Settings, alert_id: str, as_json: bool) -> None:
    """One alert with its evidence."""
    from stream.store import AlertStore

    alert = asyncio.run(_with_store(settings, lambda store: AlertStore.get(store, alert_id)))
    if alert is None:
        raise StartError(
            f"alert {alert_id!r} is not in Redis; it never was, or alerting.keep_s is over "
            "(`bellwether alerts list` shows the open ones)"
        )
    show.record(alert.title, alert, as_json=as_json)


@main.group("dead-letters")
def dead_letters() -> None:
    """Records that could not be processed."""


@dead_letters.command("list")
@_config_option
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1))
@_json_option
@click.pass_obj
def list_dead_letters(settings: Settings, limit: int, as_json: bool) -> None:
    """The newest dead letters with their reasons."""
    from stream.dead_letters import list_dead_letters as read

    letters = asyncio.run(read(settings, limit=limit))
    if as_json:
        show.json_object({"dead_letters": [msgspec.Raw(letter.encode()) for letter in letters]})
    else:
        show.table("dead letters", letters, columns=("id", "reason", "field", "detail", "value"))


async def _with_store(settings: Settings, ask: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    from redis.asyncio import Redis

    from stream.names import Keys
    from stream.store import AlertStore

    client = Redis.from_url(
        settings.redis.url,
        socket_timeout=settings.redis.timeout_s,
        socket_connect_timeout=settings.redis.timeout_s,
    )
    async with client:
        try:
            await client.ping()
        except (RedisError, OSError) as error:
            raise StartError(
                f"Redis can't be reached ({error}); start it, or set redis.url "
                "(BELLWETHER_REDIS__URL)"
            ) from error
        return await ask(AlertStore(client, Keys(settings.redis.prefix), settings.alerting))


def _load_predictor(settings: Settings, path: Path | None = None) -> Predictor:
    from models.predictor import load_predictor

    model = settings.model
    return load_predictor(
        path or model.path,
        encoder=model.encoder,
        device=model.device,
        precision=model.precision,
        threads=model.threads,
    )


def _run(
    serve: Callable[[asyncio.Event], Coroutine[Any, Any, T]], *, leave_at_once: bool = False
) -> T:
    """Run a service whose stop event is set by SIGTERM and SIGINT."""

    async def until_signal() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await serve(stop)

    try:
        return asyncio.run(until_signal())
    except (StartError, SettingsError, RuleError) as error:
        if not leave_at_once:
            raise
        # Faust's threads and the model thread may still be at work; waiting for them could hang.
        sys.stderr.write(f"bellwether: {error}\n")
        sys.stderr.flush()
        os._exit(FAILED if isinstance(error, StartError) else WRONG_USAGE)


def _progress(quiet: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=show.stderr,
        disable=quiet,
    )


def _fail(error: Exception, code: int) -> NoReturn:
    sys.stderr.write(f"bellwether: {error}\n")
    sys.exit(code)
