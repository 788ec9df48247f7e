"""console: the web console, and who may use it from elsewhere."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

from stream.commands.chosen_model import load_heads, open_registry
from stream.commands.label_log_file import LabelLogFile
from stream.commands.options import FILE, config_option, json_option
from stream.commands.service import run_service
from stream.config.settings import Settings, SettingsError
from stream.console.users import (
    LEAST_PASSWORD_CHARS,
    ROLES,
    USER_NAME,
    Role,
    User,
    hash_password,
    token_hash,
)
from stream.console.users import add_user as add
from stream.terminal import show


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
@click.option("--role", type=click.Choice(ROLES), required=True)
@click.option("--file", "file", type=FILE, help="The users file; else console.users.")
@click.option("--token", is_flag=True, help="Also make an API token, and print it this once.")
@json_option
@click.pass_obj
def add_user(
    settings: Settings, name: str, role: Role, file: Path | None, token: bool, as_json: bool
) -> None:
    """Put a user into the users file, or give a known one a new password and role.

    A known user's API token stays, unless --token makes another.
    The password is asked for, or read from stdin where that is no terminal.
    """
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
    from stream.console.server import listening, open_services

    registry = open_registry(settings) if settings.model.registry else None
    async with (
        open_services(
            settings,
            registry=registry,
            heads=lambda: load_heads(settings),
            labels=LabelLogFile(settings),
            explain=alert_words(settings),
        ) as services,
        listening(services) as address,
    ):
        yield address


def _password() -> str:
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    return sys.stdin.readline().rstrip("\r\n")
