"""TOML as people's editors save it, and what is wrong with it, with the line. Pure."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MAX_KEY_PARTS = 100

# The parser takes the square of a key's parts: minutes for one long key.
_LONG_KEY = re.compile(
    rf"""(?:(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_KEY_PARTS}}}"""
)


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
    if found := _LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise TomlError(f"joins {MAX_KEY_PARTS} names by dots in line {line}, which no key needs")
    try:
        return tomllib.loads(text), text
    except RecursionError:
        raise TomlError("nests lists or tables too deep") from None
    except ValueError as error:  # tomllib's own, and Python's of a number with too many digits
        raise TomlError(f"is not valid TOML ({error})") from None
