"""Companies named in a text: cash tags, symbols behind an exchange, bare symbols, names. Pure."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection
from enum import Enum
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, Implementation

from stream.subjects.companies import Company, KnowledgeBase

# A letter must follow the dollar sign, or prices would be companies.
_CASH_TAG = re.compile(r"\$([A-Za-z]{1,6}(?:\.[A-Za-z]{1,2})?)(?![A-Za-z0-9])")
# American exchanges only: elsewhere the same letters are other companies.
_EXCHANGES = ("nyse", "nasdaq", "amex", "otc")
_LISTED = re.compile(
    r"\b(?i:nyse(?:\s?american|\s?arca)?|nasdaq|amex|otc(?:mkts)?)\s?:\s?"
    r"([A-Z]{1,6}(?:[.-][A-Z]{1,2})?)(?![A-Za-z0-9])"
)
# Bare symbols of one or two letters are initials and abbreviations more often than companies.
_SHORTEST_BARE_SYMBOL = 3
# Names as short as "GM" and "3M" must be written in capitals: "gm" says good morning.
_LONGEST_ACRONYM = 3
# Bounded at both ends, or a row of digits is gone through again from each of them.
_PERCENT = r"(?<!\d) [+-]? \d{1,9} (?:\.\d{1,9})? \s? %"
_MARKETS = re.compile(
    rf"""(?ix) \b (?: shares? | stocks? | shareholders? | investors? | equit(?:y|ies) | dividends?
    | earnings | revenues? | profits? | eps | sales | guidance | outlook | forecasts?
    | quarter(?:ly)? | q[1-4] | fy\d\d | analysts? | upgrade[ds]? | downgrade[ds]? | overweight
    | underweight | buybacks? | ipo | merger | acqui(?:re[ds]?|sition) | takeover | stake
    | market\scap | bullish | bearish | calls | puts | nasdaq | nyse | dow | s&p | sec | ceo | cfo
    | valuation | billion | bn | pre-?market | after-?hours ) \b
    | {_PERCENT} """
)
# A link longer than this is none.
_LONGEST_LINK = 2_000
# Where an ambiguous symbol is a company without more ado: CAT shares, CAT +3%.
_TRADED = re.compile(
    rf"""(?ix) \s* (?: (?: shares? | stocks? | calls | puts | options | earnings | eps | q[1-4]
    | ceo | cfo )\b | {_PERCENT} )"""
)


class Mention(NamedTuple):
    """A company named at text[start:end]; ticker as the text or the knowledge base writes it."""

    ticker: str
    start: int
    end: int


class _Form(Enum):
    NAME = 1
    CAPITALISED = 2
    SYMBOL = 3
    OTHER = 4  # a longer phrase around a name that means something else


class _Pattern(NamedTuple):
    company: Company
    form: _Form
    ambiguous: bool


class MentionSearch:
    """All names and symbols of a knowledge base, each kind in one pass (Aho and Corasick 1975)."""

    def __init__(self, base: KnowledgeBase) -> None:
        self._base = base
        names: dict[str, _Pattern] = {}
        symbols: dict[str, _Pattern] = {}
        for company in base.companies.values():
            ambiguous = {form.lower() for form in company.ambiguous}
            capitalised = {name.lower() for name in company.capitalised}
            for name in company.names:
                if base.by_name[name.lower()] is company:
                    form = _Form.CAPITALISED if name.lower() in capitalised else _Form.NAME
                    pattern = _Pattern(company, form, name.lower() in ambiguous)
                    names.update(dict.fromkeys(_spellings(name), pattern))
            for phrase in company.except_:
                pattern = _Pattern(company, _Form.OTHER, ambiguous=False)
                names.update(dict.fromkeys(_spellings(phrase), pattern))
            for symbol in company.symbols:
                if base.by_symbol[symbol] is company and len(symbol) >= _SHORTEST_BARE_SYMBOL:
                    symbols[symbol] = _Pattern(company, _Form.SYMBOL, symbol.lower() in ambiguous)
        self._names = list(names.values())
        self._symbols = list(symbols.values())
        self._in_folded = AhoCorasick(list(names), implementation=Implementation.DFA)
        self._in_written = AhoCorasick(list(symbols), implementation=Implementation.DFA)

    def find(self, text: str, known: Collection[str] = ()) -> list[Mention]:
        """Mentions in the order of the text, none inside another: the longest name wins.

        text as clean_text leaves it; known are tickers that the event is about in any case.
        """
        folded = _fold(text)
        tagged = _tags(text, folded)
        hits = self._hits(text, folded)
        if not hits:
            return tagged
        written = {mention.ticker for mention in tagged}
        by_symbol = self._base.by_symbol
        certain = {by_symbol[symbol].ticker for symbol in (*written, *known) if symbol in by_symbol}
        certain |= {
            pattern.company.ticker
            for _, _, pattern in hits
            if not pattern.ambiguous and pattern.form is not _Form.OTHER
        }
        # What is asked of the whole text is asked once, however often it names somebody. An
        # ambiguous name counts in capitals where the text is about companies or markets.
        shouted = text.isupper()
        of_markets = bool(written or known or certain) or (
            any(pattern.ambiguous and pattern.form is not _Form.SYMBOL for _, _, pattern in hits)
            and _MARKETS.search(text) is not None
        )
        found = list(tagged)
        for start, end, (company, form, ambiguous) in hits:
            if form is _Form.OTHER or (tagged and _overlaps(tagged, start, end)):
                continue
            if (
                not ambiguous
                or company.ticker in certain
                or (
                    _is_traded(text, start, end, shouted=shouted)
                    if form is _Form.SYMBOL
                    else of_markets and text[start].isupper()
                )
            ):
                ticker = next(
                    (symbol for symbol in company.symbols if symbol in written or symbol in known),
                    company.ticker,
                )
                found.append(Mention(ticker, start, end))
        return sorted(found, key=lambda mention: mention.start) if tagged else found

    def _hits(self, text: str, folded: str) -> list[tuple[int, int, _Pattern]]:
        """Whole words that are a name or symbol, leftmost and longest first, without overlaps."""
        # All matches, because only we know where a word ends: of "American Expressway" the longest
        # match is no company, but a shorter one may be.
        hits = [
            (start, end, self._names[number])
            for number, start, end in self._in_folded.find_matches_as_indexes(folded, True)
            if _is_word(text, start, end)
            and (end - start > _LONGEST_ACRONYM or text[start:end].isupper())
            and (self._names[number].form is not _Form.CAPITALISED or text[start].isupper())
        ]
        hits += [
            (start, end, self._symbols[number])
            for number, start, end in self._in_written.find_matches_as_indexes(text, True)
            if _is_word(text, start, end)
        ]
        if len(hits) < 2:  # noqa: PLR2004 - nothing to choose from
            return hits
        # A name that is written like its symbol counts as the name, which stands first.
        hits.sort(key=lambda hit: (hit[0], -hit[1]))
        kept = hits[:1]
        for hit in hits[1:]:
            if hit[0] >= kept[-1][1]:
                kept.append(hit)
        return kept


def _is_traded(text: str, start: int, end: int, *, shouted: bool) -> bool:
    """Whether a word that is also a symbol is meant as one: in brackets or where it is traded."""
    in_brackets = text[start - 1 : start] == "(" and text[end : end + 1] in {")", "."}
    return in_brackets or (not shouted and _TRADED.match(text, end) is not None)


def _tags(text: str, folded: str) -> list[Mention]:
    """What says itself that it is a symbol: $HALC, NYSE: HALC."""
    found = []
    if "$" in text:
        found = [
            Mention(tag[1].upper(), tag.start(), tag.end()) for tag in _CASH_TAG.finditer(text)
        ]
    if ":" in text and any(exchange in folded for exchange in _EXCHANGES):
        listed = [Mention(tag[1], tag.start(1), tag.end(1)) for tag in _LISTED.finditer(text)]
        found += [one for one in listed if not _overlaps(found, one.start, one.end)]
        found.sort(key=lambda mention: mention.start)
    return found


def _overlaps(mentions: list[Mention], start: int, end: int) -> bool:
    """Of mentions in the order of the text, none inside another."""
    before = bisect_left(mentions, end, key=lambda mention: mention.start)
    return before > 0 and start < mentions[before - 1].end


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] is whole words, and no part of a link."""
    if start and (text[start - 1].isalnum() or text[start - 1] in "_$"):
        return False
    if end < len(text) and (text[end].isalnum() or text[end] == "_"):
        return False
    since = max(0, start - _LONGEST_LINK)
    return "://" not in text[text.rfind(" ", since, start) + 1 or since : start]


def _fold(text: str) -> str:
    """Small letters and straight apostrophes, character by character: offsets stay."""
    folded = text.lower()
    if text.isascii():
        return folded
    if len(folded) != len(text):
        folded = "".join(small if len(small := char.lower()) == 1 else char for char in text)
    return folded.replace("\u2019", "'")


def _spellings(name: str) -> set[str]:
    """The folded forms in which people write a name."""
    forms = {_fold(unicodedata.normalize("NFC", name))}
    for letter in name:
        if plain := unicodedata.normalize("NFD", letter)[:1].lower():
            forms |= {form.replace(_fold(letter), plain) for form in forms}
    for old, new in ((" & ", " and "), ("-", " "), ("'", ""), (".", "")):
        forms |= {form.replace(old, new) for form in forms}
    return {form.strip() for form in forms}
