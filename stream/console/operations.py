"""An operation of the HTTP API: its method, path, role and types, and a call of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from stream.console.services import Services
from stream.console.sessions import Identity
from stream.console.users import Role


class Call(msgspec.Struct, frozen=True):
    """One call: who asks, the path's and the query's parameters, and the decoded body."""

    services: Services
    by: Identity
    path: dict[str, str]
    query: Any
    body: Any


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one path. query, body and answer are the types that are read and written."""

    method: str
    path: str
    summary: str
    role: Role
    answer: Any
    run: Callable[[Call], Awaitable[Any]]
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
