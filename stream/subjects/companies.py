"""The knowledge base of listed companies: symbols, names, sectors, who moves whom. Pure.

A TOML file with one table a sector and one line a company, as in companies.toml beside this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from stream.config.settings import SettingsError
from stream.config.toml_text import TomlError, parse_toml
from stream.subjects.tags import as_listed

MAX_FILE_BYTES = 10_000_000
MIN_NAME_CHARS = 2
MAX_NAME_CHARS = 100
SYMBOL = re.compile(r"[A-Z0-9]{1,10}(?:[.-][A-Z0-9]{1,4})?")

_SECTOR = re.compile(r"[a-z][a-z0-9-]{0,39}")
_FAULTY_FIELD = re.compile(r"\$\.(\w+)")


class Company(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One listed company. What the fields mean stands at the top of companies.toml."""

    name: str
    aliases: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    except_: tuple[str, ...] = msgspec.field(default=(), name="except")
    related: tuple[str, ...] = ()
    capitalised: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    jargon: tuple[str, ...] = ()
    ticker: str = ""
    sector: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aliases)

    @property
    def symbols(self) -> tuple[str, ...]:
        return (self.ticker, *self.also)


class KnowledgeBase:
    """Companies by ticker, by symbol (which holds former ones too) and by name in small letters."""

    def __init__(self, companies: Mapping[str, Company]) -> None:
        """Takes companies by ticker; of two that share a symbol or a name the later one has it."""
        self.companies = dict(companies)
        self.by_symbol = {symbol: one for one in companies.values() for symbol in one.symbols}
        # A company's own ticker goes before another one's former symbol.
        self.by_symbol |= self.companies
        self.by_name = {name.lower(): one for one in companies.values() for name in one.names}

    def __len__(self) -> int:
        return len(self.companies)

    @classmethod
    def load(cls, path: Path | None) -> KnowledgeBase:
        """The shipped companies, and those of path before them. Raises SettingsError."""
        shipped = _read(
            (files("stream.subjects") / "companies.toml").read_bytes(), "the shipped companies"
        )
        if path is None:
            return cls(shipped)
        where = f"setting subjects.companies: file {path}"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SettingsError(
                f"{where} can't be read ({error.strerror}); correct the path"
            ) from None
        own = _read(content, where)
        return cls({ticker: one for ticker, one in shipped.items() if ticker not in own} | own)


def _read(content: bytes, where: str) -> dict[str, Company]:
    if len(content) > MAX_FILE_BYTES:
        raise SettingsError(f"{where}: is larger than {MAX_FILE_BYTES:,} bytes; leave some out")
    try:
        table, text = parse_toml(content)
    except TomlError as error:
        raise SettingsError(f"{where}: {error}") from None
    companies: dict[str, Company] = {}
    taken: dict[str, str] = {}
    for sector, ticker, entry in _entries(table, where):
        place = f"{where}{_line(text, ticker)}, company {ticker!r}"
        if ticker in companies:
            raise SettingsError(f"{place}: stands in two sectors; keep one entry")
        company = _company(entry, ticker, sector, place)
        for claim in {*company.symbols, *(name.lower() for name in company.names)}:
            if taken.setdefault(claim, ticker) != ticker:
                raise SettingsError(
                    f"{place}: {claim!r} also stands for {taken[claim]}; leave it to one of them"
                )
        companies[ticker] = company
    return companies


def _entries(table: dict[str, Any], where: str) -> Iterator[tuple[str, str, Any]]:
    for sector, entries in table.items():
        if not _SECTOR.fullmatch(sector) or not isinstance(entries, dict):
            raise SettingsError(
                f"{where}: {sector!r} is no sector; write a table such as [technology] with a line "
                'a company, such as ACME = { name = "Acme" }'
            )
        for ticker, entry in entries.items():
            yield sector, ticker, entry


def _company(entry: Any, ticker: str, sector: str, place: str) -> Company:
    if not SYMBOL.fullmatch(ticker) or as_listed(ticker) != ticker:
        raise SettingsError(
            f"{place}: is no ticker; write capitals and digits, and a share class as in BRK.B"
        )
    if not isinstance(entry, dict):
        raise SettingsError(f'{place}: must be a table, such as {{ name = "Acme" }}')
    try:
        company = msgspec.convert(entry | {"ticker": ticker, "sector": sector}, Company)
    except msgspec.ValidationError as error:
        found = _FAULTY_FIELD.search(str(error))
        field = f"{found[1]}: " if found else ""
        raise SettingsError(f"{place}: {field}{str(error).partition(' - at')[0]}") from None
    for name in (*company.names, *company.except_):
        if not MIN_NAME_CHARS <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
            raise SettingsError(
                f"{place}: name {name!r} must have {MIN_NAME_CHARS} to {MAX_NAME_CHARS} "
                "printable characters"
            )
    for symbol in (*company.also, *company.related):
        if not SYMBOL.fullmatch(symbol):
            raise SettingsError(f"{place}: {symbol!r} is no ticker; write capitals and digits")
    names = {name.lower() for name in company.names}
    symbols = {symbol.lower() for symbol in company.symbols}
    for field, listed, own in (
        ("capitalised", company.capitalised, names),
        ("ambiguous", company.ambiguous, names | symbols),
        ("jargon", company.jargon, names),
    ):
        if unknown := [form for form in listed if form.lower() not in own]:
            raise SettingsError(
                f"{place}: {field} holds {unknown[0]!r}, which is none of the names given with it"
            )
    return company


def _line(text: str, ticker: str) -> str:
    key = re.escape(ticker)
    found = re.search(
        rf"^[ \t]*(?:\[[^\]\n]*\.)?[\"']?{key}[\"']?\]?[ \t]*(?:=|$)", text, re.MULTILINE
    )
    return f", line {text.count(chr(10), 0, found.start()) + 1}" if found else ""
