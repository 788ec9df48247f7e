"""Documentation follows the code: settings and commands without a line of their own fail here."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stream.cli import main
from stream.config.settings import Settings, load_settings
from stream.ingest.dead_letter import Reason

ROOT = Path(__file__).parents[1]
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z_.\[\]]+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)

TOML = re.findall(r"```toml\n(.*?)```", SETTINGS + README, re.DOTALL)
# The README also shows a rule file.
EXAMPLES = [textwrap.dedent(block) for block in TOML if "[[rule]]" not in block]


def test_every_setting_has_one_row_and_every_row_a_setting():
    documented = [name for name, *_ in ROW.findall(SETTINGS)]
    assert sorted(documented) == sorted(name for name, _ in _settings(Settings))


def test_documented_defaults_are_the_real_ones():
    documented = {name: default for name, default, *_ in ROW.findall(SETTINGS)}
    real = {name: _shown(field) for name, field in _settings(Settings)}
    assert documented == real


def test_documented_variables_are_those_the_settings_read(monkeypatch):
    for name, _, variable, _ in ROW.findall(SETTINGS):
        if "[]" in name:
            assert variable == f"in `BELLWETHER_{name.partition('[')[0].upper()}`"
        else:
            assert variable == f"`BELLWETHER_{name.upper().replace('.', '__')}`"
    monkeypatch.setenv("BELLWETHER_KAFKA__BOOTSTRAP", "elsewhere:1")
    monkeypatch.setenv("BELLWETHER_SOURCES", '[{"topic": "t", "kind": "news"}]')
    settings = Settings()
    assert settings.kafka.bootstrap == "elsewhere:1"
    assert [source.topic for source in settings.sources] == ["t"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_settings_files_are_valid(example, tmp_path):
    file = tmp_path / "bellwether.toml"
    file.write_text(example)
    load_settings(file)


def test_every_command_is_in_the_readme():
    # In code, so that a word of the running text does not pass for a command.
    code = " ".join(re.findall(r"`([^`\n]+)`", README))
    missing = [name for name in _commands(main) if not re.search(rf"\b{name}\b", code)]
    assert not missing, f"README.md does not name: {missing}"


def test_every_reason_of_a_dead_letter_has_its_meaning():
    page = (ROOT / "docs" / "on-call.md").read_text(encoding="utf-8")
    table = page.partition("| reason | meaning |")[2]
    cells = re.findall(r"^\| (`[a-z_0-9`, ]+) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(get_args(Reason))


def test_every_picture_in_the_documentation_is_there_and_shown():
    shown = set()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        links = re.findall(r"\]\(([^)]+\.png)\)", page.read_text(encoding="utf-8"))
        shown |= {(page.parent / link).resolve() for link in links}
    assert shown == set((ROOT / "docs" / "images").resolve().iterdir())


def _settings(section: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is None:
            yield f"{before}{name}", field
        else:
            mark = "" if inner is field.annotation else "[]"
            yield from _settings(inner, f"{before}{name}{mark}.")


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section a field holds, or holds a list of; None for a plain value."""
    for found in (annotation, *get_args(annotation)):
        if isinstance(found, type) and issubclass(found, BaseModel):
            return found
    return None


def _shown(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return "none"
    if field.default == ():
        return "any"
    if isinstance(field.default, tuple):
        return f"`{json.dumps(field.default)}`"
    value = str(field.default)
    return f"`{value.lower() if isinstance(field.default, bool) else value}`"


def _commands(group: click.Group, before: str = "") -> Iterator[str]:
    """Each command with its group: worker, alerts list."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}"
