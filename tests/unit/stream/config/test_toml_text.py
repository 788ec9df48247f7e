"""Every TOML file of ours is read alike: with a byte-order mark, and naming the line at fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream.config.settings import SettingsError, load_settings
from stream.notify.routing import Routing
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import read_rule_file
from stream.subjects.companies import KnowledgeBase

RULE = 'name = "a"\nwhen = "true"\nsubject = "event"\nseverity = "info"\ntitle = "é"\n'
FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "settings": (load_settings, '[kafka]\ngroup = "é"\n'),
    "rules": (read_rule_file, f"[[rule]]\n{RULE}"),
    "companies": (KnowledgeBase.load, '[x]\nHALC = { name = "Halcé" }\n'),
    "routes": (
        Routing.load,
        '[route]\nreceiver = "é"\n[[receivers]]\nname = "é"\ntype = "topic"\ntopic = "t"\n',
    ),
}


@pytest.mark.parametrize(("read", "text"), FILES.values(), ids=FILES)
def test_a_byte_order_mark_is_no_fault(
    read: Callable[[Path], Any], text: str, tmp_path: Path
) -> None:
    file = tmp_path / "some.toml"
    file.write_text(text, encoding="utf-8-sig")
    read(file)


@pytest.mark.parametrize(("read", "text"), FILES.values(), ids=FILES)
def test_a_file_in_another_encoding_is_refused_with_the_line(
    read: Callable[[Path], Any], text: str, tmp_path: Path
) -> None:
    file = tmp_path / "some.toml"
    file.write_text(text, encoding="latin-1")
    number = text[: text.index("é")].count("\n") + 1
    with pytest.raises((SettingsError, RuleError)) as refused:
        read(file)
    assert f"line {number} is not in UTF-8); save the file as UTF-8" in str(refused.value)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize(("read", "text"), FILES.values(), ids=FILES)
@pytest.mark.parametrize(
    ("written", "named"),
    [
        (f"x = {'[' * 5_000}{']' * 5_000}", "nests lists or tables too deep"),
        (f"x = {'9' * 5_000}", "is not valid TOML (Exceeds the limit"),
        # Split at its dots one by one this would take minutes.
        (f"a{'.a' * 400_000} = 1", "joins 100 names by dots in line 2, which no key needs"),
        ("[x]\n" + '"é" .' * 100 + "a = 1", "joins 100 names by dots in line 3"),
    ],
)
def test_what_would_end_or_stop_its_reader_is_refused(
    read: Callable[[Path], Any], text: str, written: str, named: str, tmp_path: Path
) -> None:
    file = tmp_path / "some.toml"
    file.write_text(f"\n{written}\n{text}", encoding="utf-8")
    with pytest.raises((SettingsError, RuleError)) as refused:
        read(file)
    assert named in str(refused.value)
    assert str(file) in str(refused.value)
