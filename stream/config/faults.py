"""What pydantic finds wrong with settings, in sentences that name the setting. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from stream.config.spelling import meant


def sentences(faults: Sequence[ErrorDetails], settings: type[BaseModel]) -> str:
    """One a fault; faults as ValidationError.errors() of settings gives them."""
    return "; ".join(_sentence(fault, settings) for fault in _causes(faults))


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


def _sentence(fault: ErrorDetails, settings: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        *place, name = map(str, fault["loc"])
        all_there = "docs/settings.md has all there are"
        remedy = meant(name, _known(settings, place), otherwise=all_there)
        return f"setting {where}: is not known; {remedy}"
    if fault["type"] in {"float_parsing", "int_parsing"}:
        return f"setting {where}: must be a number{' of seconds' if where.endswith('_s') else ''}"
    if fault["type"] == "tuple_type":
        return f"setting {where}: must be {_a_list(fault)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"setting {where}: {message}" if where else f"settings: {message}"


def _known(settings: type[BaseModel], place: Sequence[str]) -> Iterable[str]:
    """The names there are in a section, or in a table of a list or of a section."""
    for part in place:
        if not part.isdigit():
            field: Any = settings.model_fields[part].annotation
            settings = next(iter(get_args(field)), field)
    return settings.model_fields


def _a_list(fault: ErrorDetails) -> str:
    name, *inside = fault["loc"]
    if not inside:
        # Of sections only sources and queues are lists.
        return f"a list of tables: write [[{name}]] above each, or JSON in the environment"
    said = fault["input"]
    items = said.split(",") if isinstance(said, str) else ["…"]
    return f"a list, such as {json.dumps([item.strip() for item in items], ensure_ascii=False)}"
