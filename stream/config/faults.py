"""What pydantic finds wrong with settings, in sentences that name the setting. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic_core import ErrorDetails


def sentences(faults: Sequence[ErrorDetails]) -> str:
    """One a fault; faults as ValidationError.errors() gives them."""
    return "; ".join(map(_sentence, _causes(faults)))


def not_json(cause: BaseException | None, environment: Mapping[str, str]) -> str:
    """Of a variable that holds a list or a table: BELLWETHER_SOURCES, BELLWETHER_MODEL__LANGUAGES.

    cause is the JSONDecodeError, which knows the text but not whose it is.
    """
    said = getattr(cause, "doc", None)
    names = [
        name
        for name, value in environment.items()
        if value == said and name.upper().startswith("BELLWETHER_")
    ]
    return (
        f"environment variable {' or '.join(names) or '(unknown)'}: is not JSON; it holds a list "
        f'or a table, such as ["en", "de"] or {{"product": "attributes.product"}}'
    )


def _causes(faults: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow, as a list that counts as empty for a faulty item."""
    places = [fault["loc"] for fault in faults]
    return [
        fault
        for fault in faults
        if not any(len(one) > len(at := fault["loc"]) and one[: len(at)] == at for one in places)
    ]


def _sentence(fault: ErrorDetails) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"setting {where}: is not known; check the spelling against docs/settings.md"
    if fault["type"] == "tuple_type":
        return f"setting {where}: must be {_a_list(fault)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"setting {where}: {message}" if where else f"settings: {message}"


def _a_list(fault: ErrorDetails) -> str:
    name, *inside = fault["loc"]
    if not inside:
        # Of sections only sources and queues are lists.
        return f"a list of tables: write [[{name}]] above each, or JSON in the environment"
    said = fault["input"]
    items = said.split(",") if isinstance(said, str) else ["…"]
    return f"a list, such as {json.dumps([item.strip() for item in items], ensure_ascii=False)}"
