"""What users send beside the known fields rides along, within limits of size and depth."""

from __future__ import annotations

from typing import Any

import orjson

from stream.ingest.attributes import (
    DROPPED,
    MAX_ATTRIBUTE_BYTES,
    MAX_ATTRIBUTE_DEPTH,
    bound_attributes,
)


def nested(levels: int) -> Any:
    value: Any = "core"
    for _ in range(levels):
        value = [value]
    return value


def test_small_attributes_stay_as_they_are() -> None:
    attributes = {"region": "EU", "views": 3, "tags": ["a", {"b": None}]}
    assert bound_attributes(attributes) == attributes


def test_the_largest_are_left_out_first_and_counted() -> None:
    attributes = {"html": "x" * 20_000, "region": "EU", "raw": "y" * 10_000, "log": "z" * 10_000}
    bounded = bound_attributes(attributes)
    assert bounded.keys() - {"raw", "log"} == {"region", DROPPED}
    assert bounded[DROPPED] == 2
    assert len(orjson.dumps(bounded)) <= MAX_ATTRIBUTE_BYTES + len(f',"{DROPPED}":2')


def test_a_flood_of_small_attributes_is_bounded_too() -> None:
    bounded = bound_attributes({f"name-{place}": place for place in range(10_000)})
    assert len(bounded) - 1 + bounded[DROPPED] == 10_000
    assert len(orjson.dumps(bounded)) <= MAX_ATTRIBUTE_BYTES + 100


def test_nesting_is_kept_to_the_depth_that_readers_bear() -> None:
    deepest = {"deep": nested(MAX_ATTRIBUTE_DEPTH - 1)}
    assert bound_attributes(deepest) == deepest
    for levels in (MAX_ATTRIBUTE_DEPTH, 300, 900):
        attributes = {"deep": nested(levels), "region": "EU"}
        assert bound_attributes(attributes) == {"region": "EU", DROPPED: 1}


def test_many_brackets_side_by_side_are_not_deep() -> None:
    attributes = {"points": [[1, 2]] * 200}
    assert bound_attributes(attributes) == attributes
