"""Moving the champion by hand, and the record that has workers look at once."""

from __future__ import annotations

from datetime import datetime

import msgspec

from models.registry import CHAMPION, Alias, Registry
from models.spec import ModelError
from stream.names import Topics
from stream.outbox import Outgoing


def promote(registry: Registry, version: str, *, by: str, why: str, now: datetime) -> Alias:
    """Make a version champion; blocks. Raises ModelError."""
    return registry.point(CHAMPION, version, by=by, why=why, now=now)


def roll_back(registry: Registry, *, by: str, why: str, now: datetime) -> Alias:
    """Make the champion's predecessor champion again; blocks. Raises ModelError without one."""
    champion = registry.alias(CHAMPION)
    if champion is None or not champion.previous:
        raise ModelError(
            f"registry {registry.address}: the champion has no predecessor; "
            "name a version with `bellwether models promote`"
        )
    return promote(registry, champion.previous, by=by, why=why, now=now)


def announcement(topics: Topics, alias: Alias) -> Outgoing:
    """For the topic of models, which only says when to look; the registry is what holds."""
    return Outgoing(topics.models, alias.alias.encode(), msgspec.json.encode(alias))
