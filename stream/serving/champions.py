"""Moving the champion by hand, and the record that has workers look at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from models.registry import CHAMPION, Alias, Registry
from models.spec import ModelError
from stream.connections.outbox import Outgoing
from stream.names import Topics


def promote(registry: Registry, version: str, *, by: str, why: str, now: datetime) -> Alias:
    """Make a version champion; blocks. Raises ModelError."""
    return registry.point(CHAMPION, version, by=by, why=why, now=now)


def roll_back(registry: Registry, *, by: str, why: str, now: datetime, to: str = "") -> Alias:
    """Make the champion's predecessor champion again; blocks.

    Raises ModelError without one, where somebody else moved the champion meanwhile, or where it is
    not the version that was meant, if one was: two who roll back at once go back one version.
    """
    history = registry.history(CHAMPION)
    back = predecessor(history)
    if not back:
        raise ModelError(
            f"registry {registry.address}: the champion has no predecessor that was not taken back "
            "already; name a version with `bellwether models promote`"
        )
    if to and to != back:
        raise ModelError(
            f"registry {registry.address}: the champion is {history[-1].version} since "
            f"{history[-1].by} moved it, and its predecessor {back}, not {to}; look at it again"
        )
    after = history[-1].number
    return registry.point(CHAMPION, back, by=by, why=why, now=now, after=after)


def predecessor(history: Sequence[Alias]) -> str:
    """Whom the champion came after, "" for the first one.

    A move to the predecessor takes the last one back, so two of them in a row go back two versions
    and not to the one that was just left.
    """
    reign: list[str] = []
    for move in history:
        if reign[-2:-1] == [move.version]:
            reign.pop()
        elif reign[-1:] != [move.version]:
            reign.append(move.version)
    return reign[-2] if len(reign) > 1 else ""


def announcement(topics: Topics, alias: Alias) -> Outgoing:
    """For the topic of models, which only says when to look; the registry is what holds."""
    return Outgoing(topics.models, alias.alias.encode(), msgspec.json.encode(alias))
