"""The routing file: its tables as typed records, and errors that name line, section and reason.

Pure but for reading the file; routing.py gives the records their meaning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import msgspec

from stream.config.settings import SettingsError
from stream.config.spelling import meant
from stream.config.toml_text import TomlError, parse_toml
from stream.notify.time_intervals import TimeInterval

MAX_FILE_BYTES = 1_000_000

Span = str
"""Seconds to days as text: "30s", "5m", "4h", "1d"."""


class RouteError(SettingsError):
    """A routing file can't be used; each fault names file, line, section, reason and remedy."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class Route(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"goes_on": "continue"}
):
    """One node of the tree. What it does not say, it takes from its parent."""

    matchers: tuple[str, ...] = ()
    receiver: str | None = None
    goes_on: bool = False
    group_by: tuple[str, ...] | None = None
    group_wait: Span | None = None
    group_interval: Span | None = None
    repeat_interval: Span | None = None
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()


class Inhibition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """While a source alert is open, targets with equal labels are not notified."""

    source_matchers: tuple[str, ...]
    target_matchers: tuple[str, ...]
    equal: tuple[str, ...] = ()


class ReceiverConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where notifications go. Addresses with secrets and keys come from environment or files."""

    name: str
    type: Literal["topic", "redis", "webhook", "apprise"]
    payload: Literal["bellwether", "alertmanager", "pagerduty"] = "bellwether"
    topic: str = ""
    stream: str = ""
    max_length: int = 10_000
    url: str = ""
    url_env: str = ""
    url_file: str = ""
    secret_env: str = ""
    secret_file: str = ""
    allow_internal: bool = False
    send_resolved: bool = True
    timeout: Span = "10s"
    give_up_after: Span = "15m"


class RouteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    route: Route
    receivers: tuple[ReceiverConfig, ...]
    inhibit_rules: tuple[Inhibition, ...] = ()
    time_intervals: tuple[TimeInterval, ...] = ()


class Places:
    """Where the sections of a TOML text stand, so that an error can name its line."""

    def __init__(self, text: str) -> None:
        self._lines: dict[str, int] = {}
        counts: dict[str, int] = {}
        section = ""
        for number, line in enumerate(text.splitlines(), 1):
            if found := _HEADER.match(line):
                section = self._section(found, counts)
                self._lines.setdefault(section, number)
            elif found := _KEY.match(line):
                path = f"{section}.{found[1]}" if section else found[1]
                self._lines.setdefault(path, number)

    def line(self, path: str) -> int | None:
        """The line of "route.routes[1].group_wait", else of the nearest section around it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return None

    @staticmethod
    def _section(found: re.Match[str], counts: dict[str, int]) -> str:
        parts = [part.strip() for part in found[2].split(".")]
        path = ""
        for depth, part in enumerate(parts, 1):
            path = f"{path}.{part}" if path else part
            if depth == len(parts) and found[1] == "[[":
                counts[path] = counts.get(path, -1) + 1
            if path in counts:
                path = f"{path}[{counts[path]}]"
        return path


_HEADER = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\s-]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*=")
_FAULTY = re.compile(r" - at `\$\.?([^`]*)`")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")


def read_route_file(path: Path) -> tuple[RouteFile, Places]:
    """Raises RouteError for a file that can't be read, is no TOML, or holds what it may not."""
    try:
        content = path.read_bytes()
        if len(content) > MAX_FILE_BYTES:
            raise RouteError(f"routing file {path}: larger than {MAX_FILE_BYTES:,} bytes")
        table, text = parse_toml(content)
    except OSError as error:
        raise RouteError(
            f"routing file {path}: can't be read ({error.strerror}); correct alerting.routes"
        ) from None
    except TomlError as error:
        raise RouteError(f"routing file {path}: {error}") from None
    places = Places(text)
    try:
        return msgspec.convert(table, RouteFile), places
    except msgspec.ValidationError as error:
        found = [_explain(fault) for fault in _faults(table)] or [_explain(str(error))]
        faults = (f"{where(path, places, section)}: {reason}" for section, reason in found)
        raise RouteError(*faults) from None


def where(path: Path, places: Places, section: str) -> str:
    line = places.line(section)
    at = f", line {line}" if line else ""
    return f"routing file {path}{at}{f', {section}' if section else ''}"


def _faults(table: dict[str, Any]) -> Iterator[str]:
    """What msgspec says of each part by itself; of the whole it says only what it meets first."""
    lists: dict[str, type[msgspec.Struct]] = {
        "receivers": ReceiverConfig,
        "inhibit_rules": Inhibition,
        "time_intervals": TimeInterval,
    }
    apart = {name for name in lists if isinstance(table.get(name), list)}
    rest = {name: [] if name in apart else value for name, value in table.items()}
    if isinstance(route := table.get("route"), dict):
        rest["route"] = {}
        yield from _faults_of_route(route, "$.route")
    yield from _fault(rest, RouteFile, "$")
    for name in sorted(apart):
        for number, part in enumerate(table[name]):
            yield from _fault(part, lists[name], f"$.{name}[{number}]")


def _faults_of_route(route: Any, at: str) -> Iterator[str]:
    inside = route.get("routes") if isinstance(route, dict) else None
    if not isinstance(inside, list):
        yield from _fault(route, Route, at)
        return
    yield from _fault({**route, "routes": []}, Route, at)
    for number, one in enumerate(inside):
        yield from _faults_of_route(one, f"{at}.routes[{number}]")


def _fault(part: Any, kind: type[msgspec.Struct], at: str) -> Iterator[str]:
    try:
        msgspec.convert(part, kind)
    except msgspec.ValidationError as error:
        reason, _, inside = str(error).partition(" - at `$")
        yield f"{reason} - at `{at}{inside.removesuffix('`')}`"


def _explain(message: str) -> tuple[str, str]:
    found = _FAULTY.search(message)
    section = found[1] if found else ""
    reason = _FAULTY.sub("", message)
    if unknown := _UNKNOWN.search(reason):
        fields = msgspec.structs.fields(_kind_at(section))
        hint = meant(unknown[1], (field.encode_name for field in fields))
        section = f"{section}.{unknown[1]}" if section else unknown[1]
        return section, f"{unknown[1]!r} is not known; {hint}"
    if missing := _MISSING.search(reason):
        return section, f"{missing[1]} is missing; add it"
    reason = reason[:1].lower() + reason[1:]
    owner, _, field = section.rpartition(".")
    if reason.startswith("invalid enum value"):
        reason += f"; write {', '.join(get_args(get_type_hints(_kind_at(owner))[field]))}"
    return section, reason


def _kind_at(section: str) -> type[msgspec.Struct]:
    kinds: dict[str, type[msgspec.Struct]] = {
        "route": Route,
        "routes": Route,
        "receivers": ReceiverConfig,
        "inhibit_rules": Inhibition,
        "time_intervals": TimeInterval,
    }
    last = re.sub(r"\[[^\]]*\]", "", section).rpartition(".")[2]
    return kinds.get(last, RouteFile)
