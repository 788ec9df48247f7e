"""models: the registry's versions, and which of them is the champion."""

from __future__ import annotations

import asyncio
import getpass
from pathlib import Path
from typing import Any

import click
import msgspec

from models.registry import CHALLENGER, CHAMPION, Alias
from stream import show
from stream.champions import announcement, roll_back
from stream.champions import promote as move_champion
from stream.commands.options import FILE, config_option, json_option, open_registry
from stream.connection import kafka_arguments
from stream.outbox import Outbox
from stream.records import utc_now
from stream.settings import Settings

who = click.option("--author", default=getpass.getuser, help="Who decides; else the login name.")


@click.group()
def models() -> None:
    """The versions of the model in the registry (model.registry)."""


@models.command("list")
@config_option
@json_option
@click.pass_obj
def list_models(settings: Settings, as_json: bool) -> None:
    """Every version, with its parent and whether it is champion or in shadow."""
    registry = open_registry(settings)
    history = registry.history(CHAMPION)
    since = {move.version: move.since for move in history}
    champion = history[-1].version if history else ""
    challenger = registry.alias(CHALLENGER)
    in_shadow = challenger.version if challenger else ""
    rows = [
        {
            "version": checkpoint.version,
            "champion": checkpoint.version == champion,
            "in_shadow": checkpoint.version == in_shadow,
            "last_promoted": since.get(checkpoint.version),
            "parent": checkpoint.training.get("parent", ""),
            "heads": [head.name for head in checkpoint.heads],
        }
        for checkpoint in registry.versions()
    ]
    if as_json:
        show.json_object({"models": rows})
    else:
        show.table(
            "models",
            rows,
            columns=("version", "champion", "in_shadow", "last_promoted", "parent", "heads"),
        )


@models.command("show")
@config_option
@click.argument("version")
@json_option
@click.pass_obj
def show_model(settings: Settings, version: str, as_json: bool) -> None:
    """One version: lineage, figures, verdict, when it was champion, and its time in shadow."""
    registry = open_registry(settings)
    checkpoint = registry.describe(version)
    record = msgspec.to_builtins(checkpoint) | {
        "champion": [move for move in registry.history(CHAMPION) if move.version == version],
        # The move away says how the time in shadow ended.
        "in_shadow": [
            move
            for move in registry.history(CHALLENGER)
            if version in {move.version, move.previous}
        ],
    }
    show.record(version, record, as_json=as_json)


@models.command("diff")
@config_option
@click.argument("before")
@click.argument("after")
@json_option
@click.pass_obj
def diff_models(settings: Settings, before: str, after: str, as_json: bool) -> None:
    """What differs between two versions: heads, calibration, training, figures."""
    registry = open_registry(settings)
    old, new = (
        _flat(msgspec.to_builtins(registry.describe(version))) for version in (before, after)
    )
    names = sorted(name for name in old | new if old.get(name) != new.get(name))
    rows = [{"field": name, "before": old.get(name), "after": new.get(name)} for name in names]
    if as_json:
        show.json_object({"differences": rows})
    else:
        show.table(f"{before} -> {after}", rows, columns=("field", "before", "after"))


@models.command("add")
@config_option
@click.argument("folder", type=FILE)
@json_option
@click.pass_obj
def add_model(settings: Settings, folder: Path, as_json: bool) -> None:
    """Copy a checkpoint folder, as fit writes it, into the registry."""
    checkpoint = open_registry(settings).add(folder)
    show.record("added", {"version": checkpoint.version}, as_json=as_json)


@models.command("promote")
@config_option
@click.argument("version")
@who
@click.option("--why", required=True, help="The reason, for whoever looks at the history.")
@json_option
@click.pass_obj
def promote(settings: Settings, version: str, author: str, why: str, as_json: bool) -> None:
    """Make a version champion; a running trainer takes it back if it is worse."""
    alias = move_champion(open_registry(settings), version, by=author, why=why, now=utc_now())
    _tell(settings, alias, as_json=as_json)


@models.command("rollback")
@config_option
@who
@click.option("--why", default="rolled back", show_default=True)
@json_option
@click.pass_obj
def rollback(settings: Settings, author: str, why: str, as_json: bool) -> None:
    """Make the champion's predecessor champion again."""
    alias = roll_back(open_registry(settings), by=author, why=why, now=utc_now())
    _tell(settings, alias, as_json=as_json)


def _tell(settings: Settings, alias: Alias, *, as_json: bool) -> None:
    asyncio.run(_announce(settings, alias))
    show.record("champion", alias, as_json=as_json)


async def _announce(settings: Settings, alias: Alias) -> None:
    outbox = Outbox(kafka_arguments(settings.kafka))
    await outbox.start()
    try:
        await outbox.send([announcement(settings.topics, alias)])
    finally:
        await outbox.stop()


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """{"a.b": 1} of {"a": {"b": 1}}."""
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, part in value.items():
        flat |= _flat(part, f"{name}.{key}" if name else key)
    return flat
