"""TOML as people's editors save it, and what is wrong with it, with the line. Pure."""

from __future__ import annotations

import tomllib
from typing import Any


class TomlError(ValueError):
    """Not readable as TOML; the message goes on a sentence that names the file."""


def parse_toml(content: bytes) -> tuple[dict[str, Any], str]:
    """The tables, and the text that they stand in. Raises TomlError."""
    try:
        text = content.decode("utf-8-sig")  # some editors begin UTF-8 with a byte-order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TomlError(
            f"is not valid TOML (line {line} is not in UTF-8); save the file as UTF-8"
        ) from None
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        raise TomlError(f"is not valid TOML ({error})") from None
