"""The locks follow pyproject.toml: every package asked for is pinned, with hashes, in its range."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(
    r"^([a-z0-9-]+)==([^ ]+)(?: ; ([^\\]+))? \\\n((?:    --hash=sha256:\w+.*\n)+)", re.MULTILINE
)
EXTRAS = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]


@pytest.mark.parametrize(
    ("lock", "asked"),
    [
        ("runtime.txt", PROJECT["dependencies"]),
        ("dev.txt", PROJECT["dependencies"] + EXTRAS),
    ],
)
def test_a_lock_pins_all_that_pyproject_asks_for(lock, asked):
    pins = pinned(lock)
    for line in asked:
        requirement = Requirement(line)
        versions = pins.get(canonicalize_name(requirement.name), set())
        assert versions, f"requirements/{lock} lacks {line}; run make lock"
        assert all(requirement.specifier.contains(version) for version in versions), (
            f"requirements/{lock} pins {versions}, not {line}; run make lock"
        )


def test_both_locks_pin_the_same_versions():
    runtime, dev = pinned("runtime.txt"), pinned("dev.txt")
    assert {name: dev.get(name) for name in runtime} == runtime


def test_what_a_deep_fit_needs_is_where_the_trainer_runs():
    """The image installs runtime.txt and no extra."""
    assert {"peft", "accelerate"} <= pinned("runtime.txt").keys()


@pytest.mark.parametrize("lock", ["runtime.txt", "dev.txt"])
def test_locks_name_no_address_and_leave_no_pin_without_a_hash(lock):
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert len(PIN.findall(text)) == len(re.findall("^[a-z0-9]", text, re.MULTILINE))


def pinned(lock: str) -> dict[str, set[str]]:
    """Versions a lock holds for each package; a few differ between Pythons or systems."""
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    versions: dict[str, set[str]] = {}
    for name, version, _marker, _hashes in PIN.findall(text):
        versions.setdefault(name, set()).add(version)
    return versions
