"""The knowledge base: what it holds, what a user's file changes, and what it says of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.config.settings import SettingsError
from stream.subjects.companies import KnowledgeBase


def own_file(folder: Path, content: str) -> Path:
    path = folder / "companies.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_the_shipped_companies_are_many_and_each_has_name_and_sector() -> None:
    base = KnowledgeBase.load(None)
    assert len(base) > 200
    assert base.companies["BAC"].name == "Bank of America"
    assert base.by_symbol["GOOG"] is base.companies["GOOGL"]
    assert base.by_name["merrill lynch"].ticker == "BAC"
    assert {one.sector for one in base.companies.values()} >= {"technology", "energy", "financials"}


def test_an_own_entry_replaces_the_shipped_one_and_new_ones_are_added(tmp_path: Path) -> None:
    path = own_file(
        tmp_path, '[robots]\nHALC = { name = "Halcyon" }\nAAPL = { name = "Apfel", aliases = [] }\n'
    )
    base = KnowledgeBase.load(path)
    assert base.companies["HALC"].sector == "robots"
    assert base.companies["AAPL"].names == ("Apfel",)
    assert "apple" not in base.by_name
    assert "microsoft" in base.by_name


def test_an_own_name_goes_before_a_shipped_one(tmp_path: Path) -> None:
    base = KnowledgeBase.load(own_file(tmp_path, '[metal]\nTGTX = { name = "Target" }\n'))
    assert base.by_name["target"].ticker == "TGTX"
    assert base.companies["TGT"].name == "Target"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("[x\n", "is not valid TOML"),
        ('name = "Halcyon"\n', "'name' is no sector"),
        ("[Big Tech]\n", "is not valid TOML"),
        ('["Big Tech"]\n', "'Big Tech' is no sector"),
        ("[x]\nHALC = 3\n", "line 2, company 'HALC': must be a table"),
        ("[x]\nHALC = {}\n", "line 2, company 'HALC': Object missing required field `name`"),
        ('[x]\n\n"halc" = { name = "Hal" }\n', "line 3, company 'halc': is no ticker"),
        ('[x]\n"HAL-B" = { name = "Hal" }\n', "line 2, company 'HAL-B': is no ticker"),
        ('[x]\nHALC = { name = "Hal", alias = [] }\n', "unknown field `alias`"),
        ('[x]\nHALC = { name = "Hal", aliases = "H" }\n', "aliases: Expected `array`"),
        ('[x]\nHALC = { name = "H" }\n', "name 'H' must have 2 to 100"),
        ('[x]\nHALC = { name = "Ha\\u001b[31m" }\n', "printable"),
        ('[x]\nHALC = { name = "Hal", also = ["h"] }\n', "'h' is no ticker"),
        ('[x]\nHALC = { name = "Hal", ambiguous = ["Hel"] }\n', "ambiguous holds 'Hel'"),
        ('[x]\nHALC = { name = "Hal", capitalised = ["HALC"] }\n', "capitalised holds 'HALC'"),
        (
            '[x]\nA1 = { name = "Hal" }\nB1 = { name = "hal" }\n',
            "line 3, company 'B1': 'hal' also stands for A1",
        ),
        (
            '[x.A1]\nname = "Hal"\n[y.A1]\nname = "Hel"\n',
            "company 'A1': stands in two sectors",
        ),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_reason(
    content: str, fault: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError) as refused:
        KnowledgeBase.load(own_file(tmp_path, content))
    assert fault in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"subjects\.companies: file .*absent.* can't be read"):
        KnowledgeBase.load(tmp_path / "absent.toml")
