"""The API's registry: the versions, and which of them is the champion."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec
from aiokafka.errors import KafkaError

from models.registry import CHALLENGER, CHAMPION, Alias, Registry
from models.spec import Head
from stream.console.body_fields import SomeText, clean_field
from stream.console.errors import RefusedError
from stream.console.operations import Call, Operation
from stream.console.recent import latest
from stream.records import utc_now
from stream.serving.champions import announcement, predecessor, promote, roll_back

logger = logging.getLogger(__name__)


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version; metrics and training are as its checkpoint says."""

    version: str
    parent: str
    champion: bool
    in_shadow: bool
    heads: tuple[Head, ...]
    metrics: dict[str, Any]
    training: dict[str, Any]


class ModelsAnswer(msgspec.Struct, frozen=True):
    """registry is empty where model.registry is not set; attempts are the trainer's verdicts.

    damaged says of each version that is left out, as it was changed since, what to do. before is
    the version that a roll back makes champion, empty where there is none.
    """

    registry: str
    versions: list[Version]
    damaged: list[str]
    history: list[Alias]
    attempts: list[dict[str, Any]]
    serving: dict[str, int]
    before: str


class Reason(msgspec.Struct, frozen=True):
    """why is kept in the history of the champion."""

    why: SomeText

    def __post_init__(self) -> None:
        clean_field(self, "why")


async def list_models(call: Call) -> ModelsAnswer:
    services = call.services
    scored = services.recent.taken(services.settings.topics.scored)
    serving = Counter(seen.record.model for seen in latest(scored, 200))
    attempts = await asyncio.to_thread(services.labels.attempts)
    if services.registry is None:
        return ModelsAnswer("", [], [], [], attempts, serving, "")
    versions, damaged, history = await asyncio.to_thread(_read, services.registry)
    return ModelsAnswer(
        services.registry.address,
        versions,
        damaged,
        history,
        attempts,
        serving,
        predecessor(history),
    )


class RollBack(Reason, frozen=True):
    """to is the version that it must lead to, empty for whichever it is."""

    to: str = ""


async def promote_version(call: Call) -> Alias:
    registry = _registry(call)
    alias = await asyncio.to_thread(
        promote,
        registry,
        call.path["version"],
        by=call.by.name,
        why=call.body.why,
        now=utc_now(),
    )
    return await _announced(call, alias)


async def roll_back_champion(call: Call) -> Alias:
    registry = _registry(call)
    body = call.body
    alias = await asyncio.to_thread(
        roll_back, registry, by=call.by.name, why=body.why, now=utc_now(), to=body.to
    )
    return await _announced(call, alias)


async def _announced(call: Call, alias: Alias) -> Alias:
    # Workers look at the registry each minute anyway; the announcement makes them look now. The
    # alias has moved all the same: who is told that it failed rolls back once more, and too far.
    try:
        await call.services.sender.send([announcement(call.services.settings.topics, alias)])
    except (KafkaError, OSError, TimeoutError) as error:
        logger.warning(
            "could not announce %s (%r); workers look within a minute", alias.version, error
        )
    return alias


def _registry(call: Call) -> Registry:
    if call.services.registry is None:
        raise RefusedError(
            "setting model.registry is not set, so there are no versions; set it for the console "
            "as for workers and the trainer"
        )
    return call.services.registry


def _read(registry: Registry) -> tuple[list[Version], list[str], list[Alias]]:
    history = registry.history(CHAMPION)
    champion = history[-1].version if history else ""
    in_shadow = registry.version_of(CHALLENGER)
    whole, damaged = registry.survey()
    versions = [
        Version(
            version=checkpoint.version,
            parent=str(checkpoint.training.get("parent", "")),
            champion=checkpoint.version == champion,
            in_shadow=checkpoint.version == in_shadow,
            heads=checkpoint.heads,
            metrics=checkpoint.metrics,
            training=checkpoint.training,
        )
        for checkpoint in whole
    ]
    return versions, damaged, history


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/models",
        role="viewer",
        run=list_models,
        answer=ModelsAnswer,
        summary="Versions, the champion's history, the trainer's verdicts, what serves now",
    )
    yield Operation(
        method="POST",
        path="/models/{version}/promote",
        role="operator",
        run=promote_version,
        body=Reason,
        answer=Alias,
        summary="Make a version champion",
    )
    yield Operation(
        method="POST",
        path="/models/rollback",
        role="operator",
        run=roll_back_champion,
        body=RollBack,
        answer=Alias,
        summary="Make the champion's predecessor champion again",
    )
