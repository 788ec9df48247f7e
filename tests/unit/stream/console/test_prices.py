"""Prices beside the tone: faults named by line and column, days looked up, changes taken over."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from stream.config.connections import Console
from stream.config.settings import Settings, SettingsError
from stream.console.explanations import Explanations
from stream.console.prices import Close, Prices
from stream.console.server import open_services
from stream.console.services import Services
from tests.fakes import NOON, scored
from tests.unit.stream.console.conftest import KnownLabels, no_model, opened, put

HEAD = "ticker,date,open,high,low,close,adj_close,volume\n"
DAYS = "".join(f"HALC,2026-03-{day:02},1,1,1,{100 + day}.5,1,10\n" for day in (13, 12, 11, 9, 6, 5))


def written(folder: Path, text: str) -> Path:
    file = folder / "prices.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_closes_of_the_days_asked_for_and_the_one_before(tmp_path: Path) -> None:
    prices = Prices(written(tmp_path, f"{HEAD}{DAYS}NORR,2026-03-12,1,1,1,7,1,1\n"))
    found = prices.line("HALC", date(2026, 3, 8), date(2026, 3, 12))
    assert found.closes == (
        Close(date(2026, 3, 6), 106.5),
        Close(date(2026, 3, 9), 109.5),
        Close(date(2026, 3, 11), 111.5),
        Close(date(2026, 3, 12), 112.5),
    )
    later = prices.line("HALC", date(2027, 1, 1), date(2027, 1, 2))
    assert later.closes == (Close(date(2026, 3, 13), 113.5),)
    assert "no prices for NONE" in prices.line("NONE", date(2026, 3, 8), date(2026, 3, 9)).note
    early = prices.line("HALC", date(2020, 1, 1), date(2020, 2, 1))
    assert (early.closes, "begin on 2026-03-05" in early.note) == ((), True)


def test_a_share_class_may_be_written_as_price_files_do(tmp_path: Path) -> None:
    prices = Prices(written(tmp_path, f"{HEAD}BRK-B,2026-03-12,1,1,1,7,1,1\n"))
    assert prices.line("BRK.B", date(2026, 3, 8), date(2026, 3, 12)).closes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1, column ticker: is missing"),
        ("ticker,date,price\n", "line 1, column close: is missing"),
        (
            f"{HEAD}A,2026-03-12,1,1,1,2,1,1\nA,12.3.2026,1,1,1,2,1,1\n",
            "line 3, column date: '12.3",
        ),
        (f"{HEAD}A,2026-03-12,1,1,1,dear,1,1\n", "line 2, column close: 'dear' is no price"),
        (f"{HEAD}A,2026-03-12,1,1,1,nan,1,1\n", "line 2, column close: 'nan' is no price"),
        (f"{HEAD}A,2026-03-12,1,1,1,-2,1,1\n", "line 2, column close: '-2' is no price"),
        (f"{HEAD}A,2026-03-12,1\n", "line 2, column close: is empty"),
        (f"{HEAD},2026-03-12,1,1,1,2,1,1\n", "line 2, column ticker: is empty"),
        (f"{HEAD}{DAYS}{DAYS}", "line 8, column date: HALC has 2026-03-13 a second time"),
        (f'{HEAD}"A,2026-03-12,1,1,1,2,1,1\n', "is no CSV"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused_by_line_and_column(
    tmp_path: Path, text: str, words: str
) -> None:
    with pytest.raises(SettingsError, match=r"setting console\.prices: .*prices\.csv") as refused:
        Prices(written(tmp_path, text))
    assert words in str(refused.value)


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    with pytest.raises(SettingsError, match="can't be read"):
        Prices(file)
    file.write_bytes(HEAD.encode() + b"\xff\xfe,2026-03-12,1,1,1,2,1,1\n")
    with pytest.raises(SettingsError, match="not UTF-8"):
        Prices(file)


def test_a_changed_file_is_read_again_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, HEAD + DAYS)
    prices = Prices(file)
    asked: Any = ("NORR", date(2026, 3, 12), date(2026, 3, 12))
    assert prices.line(*asked).note
    rewritten(file, f"{HEAD}NORR,2026-03-12,1,1,1,7,1,1\n", 1)
    assert prices.line(*asked).closes == (Close(date(2026, 3, 12), 7.0),)
    rewritten(file, f"{HEAD}NORR,2026-03-12,1,1,1,x,1,1\n", 2)
    assert prices.line(*asked).closes == (Close(date(2026, 3, 12), 7.0),)
    file.unlink()
    assert prices.line(*asked).closes == (Close(date(2026, 3, 12), 7.0),)


def rewritten(file: Path, text: str, later_s: int) -> None:
    """With a time of its own, however coarse the clock of the file system is."""
    at = file.stat().st_mtime_ns + later_s * 1_000_000_000
    file.write_text(text, encoding="utf-8")
    os.utime(file, ns=(at, at))


async def test_a_bad_file_ends_the_start_of_the_console(tmp_path: Path) -> None:
    file = written(tmp_path, "no such columns\n")
    settings = Settings(console=Console(listen="127.0.0.1:0", prices=file))
    with pytest.raises(SettingsError, match="line 1, column ticker"):
        async with open_services(
            settings, registry=None, heads=tuple, labels=KnownLabels(), explain=no_model
        ):
            pass


async def test_a_ticker_has_its_prices_and_a_topic_none(
    services: Services, connect: Any, tmp_path: Path
) -> None:
    prices = Prices(written(tmp_path, HEAD + DAYS))
    with_prices = Services(
        **{**vars(services), "prices": prices, "explanations": Explanations(no_model)}
    )
    page = await opened(await connect(with_prices))
    put(services, services.settings.topics.scored, scored(time=NOON))
    answer = await page.get("/subjects/ticker/HALC")
    assert answer["prices"]["closes"][-1] == {"date": "2026-03-12", "close": 112.5}
    without = await opened(await connect(services))
    assert (await without.get("/subjects/ticker/HALC"))["prices"] is None
