"""Daily closes by ticker, out of a CSV file of the reader's own: what is drawn beside the tone."""

from __future__ import annotations

import csv
import logging
import math
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple, TextIO

import msgspec

from stream.config.settings import SettingsError
from stream.runtime.watched_file import stamp
from stream.subjects.tags import as_listed

logger = logging.getLogger(__name__)

SETTING = "setting console.prices"
COLUMNS = ("ticker", "date", "close")


class Close(msgspec.Struct, frozen=True):
    date: date
    close: float


class PriceLine(msgspec.Struct, frozen=True):
    """Closes from the last one before the days asked for on. note says why there are none."""

    closes: tuple[Close, ...]
    note: str = ""


class _Series(NamedTuple):
    """Days as ordinals, in order, and the close of each."""

    days: array[int]
    closes: array[float]


class Prices:
    """The closes of one file, read again when it has changed. line() may be called from threads."""

    def __init__(self, file: Path) -> None:
        """Raises SettingsError naming the line and column that can't be used."""
        self._file = file
        self._one_reads = threading.Lock()
        self._stamp = _stamp(file)
        self._series = read_prices(file)

    def line(self, ticker: str, first: date, last: date) -> PriceLine:
        """The ticker's closes of those days and the one before them; blocks."""
        self._look()
        series = self._series.get(ticker)
        if series is None:
            return PriceLine((), f"no prices for {ticker} in {self._file}")
        begin = max(bisect_left(series.days, first.toordinal()) - 1, 0)
        end = bisect_right(series.days, last.toordinal())
        if begin >= end:
            begins = date.fromordinal(series.days[0])
            return PriceLine((), f"no prices for {ticker} until {last}; they begin on {begins}")
        return PriceLine(
            tuple(
                Close(date.fromordinal(series.days[at]), series.closes[at])
                for at in range(begin, end)
            )
        )

    def _look(self) -> None:
        """Take over a changed file; one that can't be used leaves the prices as they were."""
        with self._one_reads:
            try:
                if (present := _stamp(self._file)) == self._stamp:
                    return
                self._stamp = present
                self._series = read_prices(self._file)
            except SettingsError as error:
                logger.warning("%s; the prices stay as they were", error)


def read_prices(file: Path) -> Mapping[str, _Series]:
    """Closes by ticker; other columns are not read. Raises SettingsError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return _read(file, lines)
    except OSError as error:
        raise _unreadable(file, error) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{SETTING}: {file} is not UTF-8; save it as UTF-8") from None


def _read(file: Path, lines: TextIO) -> Mapping[str, _Series]:
    by_ticker: dict[str, dict[int, float]] = defaultdict(dict)
    rows = csv.reader(lines, strict=True)
    line = 1
    try:
        places = _places(file, next(rows, []))
        for row in rows:
            line = rows.line_num
            if row:
                ticker, day, close = _values(file, line, row, places)
                if day in by_ticker[ticker]:
                    again = date.fromordinal(day)
                    raise _fault(file, line, "date", f"{ticker} has {again} a second time")
                by_ticker[ticker][day] = close
    except csv.Error as error:
        raise SettingsError(f"{SETTING}: {file}, line {line}: is no CSV ({error})") from None
    return {ticker: _series(closes) for ticker, closes in by_ticker.items()}


def _places(file: Path, heads: list[str]) -> tuple[int, ...]:
    names = [head.strip().lower() for head in heads]
    if missing := next((name for name in COLUMNS if name not in names), ""):
        raise _fault(file, 1, missing, f"is missing; the first line must name {', '.join(COLUMNS)}")
    return tuple(names.index(name) for name in COLUMNS)


def _values(
    file: Path, line: int, row: list[str], places: tuple[int, ...]
) -> tuple[str, int, float]:
    for name, place in zip(COLUMNS, places, strict=True):
        if place >= len(row) or not row[place].strip():
            raise _fault(file, line, name, "is empty")
    ticker, day, close = (row[place].strip() for place in places)
    try:
        ordinal = date.fromisoformat(day).toordinal()
    except ValueError:
        raise _fault(file, line, "date", f"{day!r} is no date such as 2026-03-12") from None
    try:
        value = float(close)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise _fault(file, line, "close", f"{close!r} is no price")
    return as_listed(ticker), ordinal, value


def _series(closes: Mapping[int, float]) -> _Series:
    days = sorted(closes)
    return _Series(array("l", days), array("d", (closes[day] for day in days)))


def _fault(file: Path, line: int, column: str, words: str) -> SettingsError:
    return SettingsError(f"{SETTING}: {file}, line {line}, column {column}: {words}")


def _stamp(file: Path) -> tuple[int, int]:
    try:
        return stamp(file)
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> SettingsError:
    return SettingsError(f"{SETTING}: {file} can't be read ({error.strerror}); correct the path")
