"""Takes an event's fields out of a user's JSON object, wherever the settings say they are."""

from __future__ import annotations

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions

from stream.config.settings import Fields, SettingsError

Path = tuple[str, ...]
Read = Callable[[dict[str, Any]], Any]


class FieldError(Exception):
    """An expression can't be computed on a record, for example a function on a wrong type."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.field = field
        self.problem = problem


class FieldMapping:
    """The compiled fields of one source. A chain of names is looked up directly, without JMESPath.

    Raises SettingsError naming sources.<topic>.fields.<field> when an expression is wrong.
    """

    def __init__(self, topic: str, fields: Fields) -> None:
        self.expressions: dict[str, str] = fields.model_dump()
        self._reads: list[Read] = []
        self._top_level: list[str] = []
        self._nested: list[Path] = []
        for field, expression in self.expressions.items():
            compiled = _compile(f"sources.{topic}.fields.{field}", expression)
            path = _chain_of_names(compiled.parsed)
            if path is None:
                self._reads.append(_expression_reader(field, compiled))
            elif len(path) == 1:
                self._top_level.append(path[0])
                # As C code, a call costs half of what a Python function would.
                self._reads.append(methodcaller("get", path[0]))
            else:
                self._nested.append(path)
                self._reads.append(_path_reader(path))

    def take(self, record: dict[str, Any]) -> list[Any]:
        """The values in the order of Fields, None where nothing is; what is left in record is the
        user's own. Names are taken out, what a JMESPath expression reads stays. Raises FieldError.
        """
        values = [read(record) for read in self._reads]
        for name in self._top_level:
            record.pop(name, None)
        for path in self._nested:
            _remove(record, path)
        return values


def compile_name(setting: str, name: str) -> tuple[Path, Read]:
    """A dotted name as its parts and a function that looks it up, None where nothing is.

    Raises SettingsError naming the setting.
    """
    path = _chain_of_names(_compile(setting, name).parsed)
    if path is None:
        raise SettingsError(
            f"setting {setting}: {name!r} is more than a dotted name; write one such as "
            "attributes.product"
        )
    return path, _path_reader(path)


def _compile(setting: str, expression: str) -> Any:
    try:
        compiled = jmespath.compile(expression)
        _check_functions(compiled.parsed)
    except JMESPathError as error:
        reason = " ".join(str(error).split())
        raise SettingsError(
            f"setting {setting}: {expression!r} is no JMESPath expression ({reason}); "
            'give a name such as payload.text; a name with other characters needs quotes: "my-text"'
        ) from None
    return compiled


def _check_functions(node: Any) -> None:
    """JMESPath itself finds a wrong call only when it makes it, which would fail every record."""
    if not isinstance(node, dict):
        return  # the bounds of a slice
    if node["type"] == "function_expression":
        name, given = node["value"], len(node["children"])
        if name not in Functions.FUNCTION_TABLE:
            raise JMESPathError(f"there is no function {name}()")
        signature = Functions.FUNCTION_TABLE[name]["signature"]
        more_allowed = bool(signature) and signature[-1].get("variadic", False)
        if given < len(signature) or (given > len(signature) and not more_allowed):
            raise JMESPathError(f"{name}() takes {len(signature)} arguments, not {given}")
    for child in node["children"]:
        _check_functions(child)


def _chain_of_names(node: dict[str, Any]) -> Path | None:
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] != "subexpression":
        return None
    chain: Path = ()
    for child in node["children"]:
        part = _chain_of_names(child)
        if part is None:
            return None
        chain += part
    return chain


def _path_reader(path: Path) -> Read:
    def read(record: dict[str, Any]) -> Any:
        value: Any = record
        for name in path:
            if type(value) is not dict:
                return None
            value = value.get(name)
        return value

    return read


def _expression_reader(field: str, compiled: Any) -> Read:
    def read(record: dict[str, Any]) -> Any:
        try:
            return compiled.search(record)
        except Exception as error:  # noqa: BLE001 - its functions also raise what Python raises
            raise FieldError(field, f"can't be computed: {error}") from None

    return read


def _remove(record: dict[str, Any], path: Path) -> None:
    """Take a value out, and the objects around it that are empty then."""
    name, *rest = path
    if not rest:
        record.pop(name, None)
        return
    inner = record.get(name)
    if type(inner) is dict:
        _remove(inner, tuple(rest))
        if not inner:
            del record[name]
