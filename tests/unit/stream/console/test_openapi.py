"""The API's description is whole, and every operation is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from stream.console.openapi import PREFIX, document
from stream.console.server import OPERATIONS
from tests.unit.stream.console.conftest import Caller


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


async def test_the_document_is_served_and_names_everything_it_refers_to(page: Caller) -> None:
    served = await page.get("/openapi.json")
    assert served == msgspec.json.decode(msgspec.json.encode(document(OPERATIONS)))
    schemas = served["components"]["schemas"]
    names = {reference.rpartition("/")[2] for reference in references(served)}
    assert names
    assert names <= schemas.keys()


def test_every_operation_is_described_once_with_its_role_and_parameters() -> None:
    described = document(OPERATIONS)["paths"]
    for operation in OPERATIONS:
        one = described[PREFIX + operation.path][operation.method.lower()]
        assert one["x-role"] == operation.role
        assert one["summary"]
        in_path = {part["name"] for part in one["parameters"] if part["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", operation.path))
        assert ("requestBody" in one) == (operation.body is not None)
    ids = [one["operationId"] for path in described.values() for one in path.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)


def test_whatever_changes_something_is_no_viewers() -> None:
    changing = [one for one in OPERATIONS if one.method != "GET"]
    viewers = {one.path for one in changing if one.role == "viewer"}
    assert viewers == {"/silences/preview"}
