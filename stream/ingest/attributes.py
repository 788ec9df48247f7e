"""Keeps what users send beside the known fields small enough to ride along everywhere."""

from __future__ import annotations

from math import inf
from typing import Any

import orjson

# Attributes go onto every output record and into every rule. The depth is what careless recursive
# readers of our outputs still bear.
MAX_ATTRIBUTE_BYTES = 16_384
MAX_ATTRIBUTE_DEPTH = 32
DROPPED = "_dropped"


def bound_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes of at most MAX_ATTRIBUTE_BYTES of JSON and MAX_ATTRIBUTE_DEPTH levels.

    The smallest stay where not all can; DROPPED then says how many were left out.
    """
    if _json_size(attributes) <= MAX_ATTRIBUTE_BYTES:
        return attributes
    sizes = {name: _json_size({name: value}) for name, value in attributes.items()}
    room: float = MAX_ATTRIBUTE_BYTES
    kept = set()
    for name in sorted(sizes, key=sizes.__getitem__):
        room -= sizes[name]
        if room < 0:
            break
        kept.add(name)
    bounded = {name: value for name, value in attributes.items() if name in kept}
    bounded[DROPPED] = len(attributes) - len(kept)
    return bounded


def _json_size(value: dict[str, Any]) -> float:
    """Bytes of JSON, infinite where nesting is too deep for the readers of our outputs."""
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        return inf
    size = len(encoded)
    if size <= MAX_ATTRIBUTE_BYTES:
        brackets = encoded.count(b"{") + encoded.count(b"[")
        if brackets > MAX_ATTRIBUTE_DEPTH and _deeper(value, MAX_ATTRIBUTE_DEPTH):
            return inf
    return size


def _deeper(value: Any, levels: int) -> bool:
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return False
    return levels == 0 or any(_deeper(item, levels - 1) for item in value)
