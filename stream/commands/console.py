"""console: the web console, and who may use it from elsewhere."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stream import show
from stream.commands.options import (
    FILE,
    config_option,
    json_option,
    load_heads,
    open_registry,
    run_service,
)
from stream.settings import Settings, SettingsError

if TYPE_CHECKING:
    from stream.console.desk import Moved
    from trainer.label_log import LabelLog

T = TypeVar("T")

logger = logging.getLogger(__name__)


@click.group(invoke_without_command=True)
@config_option
@click.pass_context
def console(context: click.Context) -> None:
    """Serve the web console until SIGTERM: alerts, tickets, labelling, models, health."""
    if context.invoked_subcommand:
        return
    settings: Settings = context.obj

    async def serve(stop: asyncio.Event) -> None:
        async with serving(settings) as address:
            sys.stderr.write(f"console at {address}\n")
            await stop.wait()

    run_service(serve)


@console.command("add-user")
@config_option
@click.argument("name")
@click.option("--role", type=click.Choice(["viewer", "labeller", "operator"]), required=True)
@click.option("--file", "file", type=FILE, help="The users file; else console.users.")
@click.option("--token", is_flag=True, help="Also make an API token, and print it this once.")
@json_option
@click.pass_obj
def add_user(
    settings: Settings, name: str, role: Any, file: Path | None, token: bool, as_json: bool
) -> None:
    """Put a user into the users file, or give a known one a new password and role.

    A known user's API token stays, unless --token makes another.
    The password is asked for, or read from stdin where that is no terminal.
    """
    from stream.console.users import (
        LEAST_PASSWORD_CHARS,
        USER_NAME,
        User,
        hash_password,
        token_hash,
    )
    from stream.console.users import add_user as add

    target = file or settings.console.users
    if target is None:
        raise SettingsError(
            "setting console.users: is not set; name the file there, or give --file"
        )
    if not USER_NAME.fullmatch(name):
        raise click.UsageError("a name has letters, digits, '.', '_', '@' and '-', 64 at most")
    password = _password()
    if len(password) < LEAST_PASSWORD_CHARS:
        raise click.UsageError(f"a password has {LEAST_PASSWORD_CHARS} characters or more")
    made = secrets.token_urlsafe(32) if token else ""
    user = User(name, role, hash_password(password), token_hash(made) if made else "")
    record = {"name": name, "role": role, "file": str(target)}
    if add(target, user).token:
        record |= {"token": made} if made else {"kept": "the API token; --token makes another"}
    show.record("user", record, as_json=as_json)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """The console at work while the context lasts; gives its address. Raises StartError."""
    from stream.commands.explainers import alert_words
    from stream.console.server import desk_of, listening

    registry = open_registry(settings) if settings.model.registry else None
    async with (
        desk_of(
            settings,
            registry=registry,
            heads=lambda: load_heads(settings),
            labels=LabelLogFile(settings),
            explain=alert_words(settings),
        ) as desk,
        listening(desk) as address,
    ):
        yield address


class LabelLogFile:
    """stream.console.desk.LabelLog over the trainer's folder, where it is on this machine.

    One that can't be read tells nothing: what else a page shows does not depend on it.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.trainer.folder
        self._fault = ""

    def suspects(self) -> list[dict[str, str]]:
        return self._read(lambda log: log.attempts.suspects())

    def attempts(self) -> list[dict[str, Any]]:
        return self._read(lambda log: log.summary()["attempts"])

    def drift(self) -> list[Moved]:
        from stream.console.desk import Moved
        from trainer.drift_file import look

        seen = look(self._folder)
        if seen is None:
            return []
        return [
            Moved(
                seen.champion,
                pair.head,
                pair.source,
                pair.missing,
                pair.shifts.get("labels"),
                pair.shifts.get("confidence"),
            )
            for pair in seen.pairs
        ]

    def written(self) -> datetime | None:
        from trainer.label_log import LABELS_FILE

        # The write-ahead log beside the file takes the writes first.
        times = []
        for name in (LABELS_FILE, f"{LABELS_FILE}-wal"):
            # It comes and goes with the trainer's connection.
            with suppress(OSError):
                times.append((self._folder / name).stat().st_mtime)
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def shadow_figures(self, version: str) -> list[str]:
        """By head in words, of that version's time in shadow."""
        return self._read(lambda log: [*map(str, log.shadow.agreements().get(version, []))])

    def _read(self, found: Callable[[LabelLog], list[T]]) -> list[T]:
        from trainer.errors import LabelLogError
        from trainer.label_log import LABELS_FILE, open_to_read

        fault = ""
        try:
            if (self._folder / LABELS_FILE).exists():
                with closing(open_to_read(self._folder)) as log:
                    return found(log)
        except (LabelLogError, sqlite3.Error, OSError) as error:
            fault = str(error)
            if fault != self._fault:
                logger.warning("what the trainer knows is not shown: %s", fault)
        finally:
            self._fault = fault
        return []


def _password() -> str:
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")
