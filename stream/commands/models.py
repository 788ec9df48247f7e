"""models: the registry's versions, and which of them is the champion."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import click
import msgspec
from aiokafka.errors import KafkaError

from models.registry import CHALLENGER, CHAMPION, Alias, Registry
from models.spec import ModelError, lost_heads
from stream.commands.chosen_model import open_registry
from stream.commands.label_log_file import LabelLogFile
from stream.commands.options import FILE, config_option, json_option
from stream.commands.parameters import Person, Remark
from stream.commands.version_diff import compared, differences
from stream.commands.version_view import learnt, lineage, moves, told
from stream.config.settings import Settings
from stream.connections.outbox import open_outbox
from stream.ingest.text import printable
from stream.records import utc_now
from stream.runtime.login import login_name
from stream.serving.champions import announcement, roll_back
from stream.serving.champions import promote as move_champion
from stream.terminal import show

who = click.option(
    "--author",
    default=login_name,
    type=Person(),
    help="Who decides; else the login name.",
)


@click.group()
def models() -> None:
    """The versions of the model in the registry (model.registry)."""


@models.command("list")
@config_option
@json_option
@click.pass_obj
def list_models(settings: Settings, as_json: bool) -> None:
    """Every version, with its parent and whether it is champion or in shadow.

    A version whose description was changed is left out and named.
    """
    registry = open_registry(settings)
    history = registry.history(CHAMPION)
    since = {move.version: move.since for move in history}
    champion = history[-1].version if history else ""
    in_shadow = registry.version_of(CHALLENGER)
    versions, damaged = registry.survey()
    rows = [
        {
            "version": checkpoint.version,
            "champion": checkpoint.version == champion,
            "in_shadow": checkpoint.version == in_shadow,
            "last_promoted": since.get(checkpoint.version),
            "parent": checkpoint.training.get("parent", ""),
            "heads": [head.name for head in checkpoint.heads],
            "learnt": learnt(checkpoint),
        }
        for checkpoint in versions
    ]
    if as_json:
        show.json_object({"models": rows, "damaged": damaged})
        return
    for words in damaged:
        sys.stderr.write(f"bellwether: {printable(words)}\n")
    for row in rows:
        row["is"] = "champion" if row["champion"] else "in shadow" if row["in_shadow"] else ""
        promoted = row["last_promoted"]
        row["last_promoted"] = f"{promoted:%Y-%m-%d %H:%M:%SZ}" if promoted else ""
    # In the order in which they came to power; those that never did stand last.
    rows.sort(key=lambda row: (not row["last_promoted"], row["last_promoted"]))
    show.table("models", rows, columns=("version", "is", "last_promoted", "parent", "learnt"))


@models.command("show")
@config_option
@click.argument("version")
@json_option
@click.pass_obj
def show_model(settings: Settings, version: str, as_json: bool) -> None:
    """One version: lineage, verdict with its reasons, time in shadow, when it was champion."""
    registry = open_registry(settings)
    checkpoint = registry.describe(version)
    descent = lineage(registry, checkpoint)
    damage = _damage(registry, version)
    now_in_shadow = registry.version_of(CHALLENGER) == version
    # Once it is over, the registry says how it ended.
    figures = LabelLogFile(settings).shadow_figures(version) if now_in_shadow else []
    if not as_json:
        files = ("files", damage or "as they were written")
        show.rows(version, [files, *told(checkpoint, descent, registry, figures)])
        return
    record = msgspec.to_builtins(checkpoint) | {
        "lineage": descent,
        "damage": damage,
        "champion": [one for one in registry.history(CHAMPION) if one.version == version],
        # The move away says how the time in shadow ended.
        "in_shadow": moves(registry, CHALLENGER, version),
        "shadow_figures": figures,
    }
    show.json_object(record)


def _damage(registry: Registry, version: str) -> str:
    """What is wrong with the files of a version, "" where they are as they were written."""
    try:
        registry.folder(version)
    except ModelError as error:
        return str(error)
    return ""


@models.command("diff")
@config_option
@click.argument("before")
@click.argument("after")
@json_option
@click.pass_obj
def diff_models(settings: Settings, before: str, after: str, as_json: bool) -> None:
    """What differs between two versions: labels, figures and calibration by head, training.

    --json has every field, bins and epochs too.
    """
    registry = open_registry(settings)
    old, new = registry.describe(before), registry.describe(after)
    if as_json:
        whole = (msgspec.to_builtins(one) for one in (old, new))
        show.json_object({"differences": list(differences(*whole))})
        return
    rows = list(compared(old, new))
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
@click.option(
    "--why",
    required=True,
    type=Remark(needed=True),
    help="The reason, for whoever looks at the history.",
)
@json_option
@click.pass_obj
def promote(settings: Settings, version: str, author: str, why: str, as_json: bool) -> None:
    """Make a version champion; a running trainer takes it back if it is worse.

    One that was champion before is left where you put it.
    """
    registry = open_registry(settings)
    alias = move_champion(registry, version, by=author, why=why, now=utc_now())
    _warn_of_lost_heads(registry, alias)
    _tell(settings, alias, as_json=as_json)


@models.command("rollback")
@config_option
@who
@click.option("--why", default="rolled back", show_default=True, type=Remark(needed=True))
@json_option
@click.pass_obj
def rollback(settings: Settings, author: str, why: str, as_json: bool) -> None:
    """Make the champion's predecessor champion again."""
    registry = open_registry(settings)
    alias = roll_back(registry, by=author, why=why, now=utc_now())
    _warn_of_lost_heads(registry, alias)
    _tell(settings, alias, as_json=as_json)


def _warn_of_lost_heads(registry: Registry, alias: Alias) -> None:
    with suppress(ModelError):  # the former champion may be gone
        lost = lost_heads(
            *(registry.describe(one).heads for one in (alias.previous, alias.version))
        )
        if lost:
            sys.stderr.write(
                f"bellwether: {alias.version} lacks {printable(', '.join(lost))}, which "
                f"{alias.previous} has: labels for that teach nothing, and workers whose rules or "
                "queues read it keep the former model\n"
            )


def _tell(settings: Settings, alias: Alias, *, as_json: bool) -> None:
    try:
        asyncio.run(_announce(settings, alias))
    except (KafkaError, OSError) as error:
        # The alias has moved, and that is what holds.
        sys.stderr.write(
            f"bellwether: Kafka at {settings.kafka.bootstrap} does not take the announcement "
            f"({printable(str(error))}); workers look at the registry within a minute anyway\n"
        )
    show.record("champion", alias, as_json=as_json)


async def _announce(settings: Settings, alias: Alias) -> None:
    async with open_outbox(settings.kafka) as outbox:
        await outbox.send([announcement(settings.topics, alias)])
