"""The settings in force as rows to look at, with whatever is secret left out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from pydantic import BaseModel, SecretStr

from stream.config.settings import Settings

MASK = "***"
_LOGIN = re.compile(r"(?<=//)[^/]*(?=@)")


class Setting(msgspec.Struct, frozen=True):
    """changed is True where the value is not the default."""

    name: str
    value: str
    changed: bool


def shown(settings: Settings) -> list[Setting]:
    """Every setting by its dotted name; lists as one value."""
    return list(_rows(settings, ""))


def _rows(section: BaseModel, before: str) -> Iterator[Setting]:
    for name, field in type(section).model_fields.items():
        value, usual = getattr(section, name), field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            yield from _rows(value, f"{before}{name}.")
        else:
            yield Setting(f"{before}{name}", _plain(value), value != usual)


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, tuple):
        return ", ".join(
            one.model_dump_json(exclude_defaults=True) if isinstance(one, BaseModel) else str(one)
            for one in value
        )
    if isinstance(value, bool):
        return str(value).lower()
    return _LOGIN.sub(MASK, str(value))
