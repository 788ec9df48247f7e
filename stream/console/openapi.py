"""The OpenAPI document of the HTTP API, made from its table of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from stream.console.errors import Fault
from stream.console.operations import Operation

PREFIX = "/api/v1"
FAULTS = {
    "400": "The body is not JSON",
    "401": "Not logged in",
    "403": "The role does not allow it, or the CSRF token is missing",
    "404": "There is no such thing",
    "409": "It can be read and still not be done; error says why",
    "422": "A field is wrong; error names it",
    "503": "Redis or Kafka is away",
}
_IN_PATH = re.compile(r"{(\w+)}")


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """OpenAPI 3.1; each operation says which role it needs."""
    types: list[Any] = [Fault]
    for operation in operations:
        types += [one for one in (operation.query, operation.body, operation.answer) if one]
    _, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _described(operation, components)
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bellwether console", "version": version("bellwether")},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "bellwether"},
            },
        },
        "security": [{"token": []}, {"session": []}],
    }


def _described(operation: Operation, components: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _IN_PATH.findall(operation.path)
    ]
    if operation.query:
        schema = components[operation.query.__name__]
        parameters += [
            {
                "name": name,
                "in": "query",
                "required": name in schema.get("required", ()),
                "schema": part,
            }
            for name, part in schema["properties"].items()
        ]
    described: dict[str, Any] = {
        "operationId": operation.run.__name__,
        "summary": operation.summary,
        "x-role": operation.role,
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": _json(operation.answer)},
            **{
                status: {"description": words, "content": _json(Fault)}
                for status, words in FAULTS.items()
            },
        },
    }
    if operation.body:
        described["requestBody"] = {"required": True, "content": _json(operation.body)}
    return described


def _json(kind: Any) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"application/json": {"schema": reference}}
