"""Companies named in a text: by tags, bare symbols and names. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

from ahocorasick_rs import AhoCorasick, Implementation

from stream.subjects.companies import Company, KnowledgeBase
from stream.subjects.tags import (
    MARKS_IN_FOLDED,
    MARKS_IN_WRITTEN,
    START,
    Mention,
    find_tags,
    overlaps,
)

# Bare symbols of one or two letters are initials and abbreviations more often than companies.
_SHORTEST_BARE_SYMBOL = 3
# Names as short as "GM" and "3M" must be written in capitals: "gm" says good morning.
_LONGEST_ACRONYM = 3
_BEFORE_FIGURES = frozenset("\u20ac\u00a3\u00a5/")
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
_POSSESSIVES = {"'s", "\u2019s"}
_BETWEEN = re.compile(r"\s?(?:,?\s(?:and|or|vs?\.?)\s|[,&/]\s?)")


class _Form(Enum):
    NAME = 1
    CAPITALISED = 2
    SYMBOL = 3
    OTHER = 4  # a longer phrase around a name that means something else
    JARGON = 5  # a word of the markets too


class _Pattern(NamedTuple):
    company: Company
    form: _Form
    ambiguous: bool


_Hit = tuple[int, int, _Pattern]
_Matches = list[tuple[int, int, int]]


class MentionSearch:
    """All names and symbols of a knowledge base, each kind in one pass (Aho and Corasick 1975)."""

    def __init__(self, base: KnowledgeBase) -> None:
        self._base = base
        names: dict[str, _Pattern] = {}
        symbols: dict[str, _Pattern] = {}
        for company in base.companies.values():
            ambiguous = {form.lower() for form in company.ambiguous}
            forms = dict.fromkeys((name.lower() for name in company.capitalised), _Form.CAPITALISED)
            forms |= dict.fromkeys((name.lower() for name in company.jargon), _Form.JARGON)
            for name in company.names:
                if base.by_name[name.lower()] is company:
                    form = forms.get(name.lower(), _Form.NAME)
                    unsure = form is _Form.JARGON or name.lower() in ambiguous
                    pattern = _Pattern(company, form, unsure)
                    names.update(dict.fromkeys(_spellings(name), pattern))
            for phrase in company.except_:
                pattern = _Pattern(company, _Form.OTHER, ambiguous=False)
                names.update(dict.fromkeys(_spellings(phrase), pattern))
            for symbol in company.symbols:
                if base.by_symbol[symbol] is company and len(symbol) >= _SHORTEST_BARE_SYMBOL:
                    symbols[symbol] = _Pattern(company, _Form.SYMBOL, symbol.lower() in ambiguous)
        self._names = list(names.values())
        self._symbols = list(symbols.values())
        # The marks of a code come last, behind what the lists hold.
        self._in_folded = _automaton([*names, *MARKS_IN_FOLDED])
        self._in_written = _automaton([*symbols, *MARKS_IN_WRITTEN])

    def find(self, text: str, known: Collection[str] = ()) -> list[Mention]:
        """Mentions in the order of the text, none inside another: the longest name wins.

        text as clean_text leaves it; known are tickers that the event is about in any case.
        """
        folded = _fold(text)
        in_folded = self._in_folded.find_matches_as_indexes(folded, True)
        in_written = self._in_written.find_matches_as_indexes(text, True)
        marked = bool(in_folded) and max(in_folded)[0] >= len(self._names)
        marked |= bool(in_written) and max(in_written)[0] >= len(self._symbols)
        tagged = find_tags(text, marked=marked)
        hits = self._hits(text, in_folded, in_written) if in_folded or in_written else []
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
        for place, (start, end, (company, form, ambiguous)) in enumerate(hits):
            if form is _Form.OTHER or (tagged and overlaps(tagged, start, end)):
                continue
            if (
                not ambiguous
                or company.ticker in certain
                or (
                    _is_traded(text, start, end, shouted=shouted)
                    if form is _Form.SYMBOL
                    else of_markets
                    and text[start].isupper()
                    and (
                        form is not _Form.JARGON
                        or _is_owner(text, end)
                        or _in_row(text, hits[max(0, place - 1) : place + 2])
                    )
                )
            ):
                ticker = company.ticker
                if company.also:
                    used = (one for one in company.symbols if one in written or one in known)
                    ticker = next(used, ticker)
                found.append(Mention(ticker, start, end))
        return sorted(found, key=START) if tagged else found

    def _hits(self, text: str, in_folded: _Matches, in_written: _Matches) -> list[_Hit]:
        """Whole words that are a name or symbol, leftmost and longest first, without overlaps."""
        # All matches, because only we know where a word ends: of "American Expressway" the longest
        # match is no company, but a shorter one may be.
        hits = [
            (start, end, pattern)
            for number, start, end in in_folded
            if number < len(self._names)
            and _is_word(text, start, end)
            and (
                (
                    (pattern := self._names[number]).form is _Form.NAME
                    and end - start > _LONGEST_ACRONYM
                )
                or _is_written(text[start:end], pattern.form)
            )
        ]
        hits += [
            (start, end, self._symbols[number])
            for number, start, end in in_written
            if number < len(self._symbols) and _is_word(text, start, end)
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


def _automaton(words: list[str]) -> AhoCorasick:
    return AhoCorasick(words, implementation=Implementation.DFA)


def _is_written(words: str, form: _Form) -> bool:
    """Whether letters are as large as a name needs them."""
    if form is _Form.JARGON:
        return words[0].isupper()
    if form is _Form.CAPITALISED and not all(word[0].isupper() for word in words.split()):
        return False
    return len(words) > _LONGEST_ACRONYM or words.isupper()


def _is_traded(text: str, start: int, end: int, *, shouted: bool) -> bool:
    """Whether a word that is also a symbol is meant as one: in brackets or where it is traded."""
    in_brackets = text[start - 1 : start] == "(" and text[end : end + 1] in {")", "."}
    return in_brackets or (not shouted and _TRADED.match(text, end) is not None)


def _is_owner(text: str, end: int) -> bool:
    """Whether what follows belongs to a company: Target's plan, Target shares; not Target 5%."""
    traded = _TRADED.match(text, end)
    return text[end : end + 2] in _POSSESSIVES or (traded is not None and traded[0][-1] != "%")


def _in_row(text: str, hits: list[_Hit]) -> bool:
    """Whether one of these neighbours is listed with another company: "Walmart, Target"."""
    for (_, end, one), (start, _, other) in pairwise(hits):
        forms = {one.form, other.form}
        of_companies = forms != {_Form.JARGON} and _Form.OTHER not in forms
        if of_companies and _BETWEEN.fullmatch(text, end, start):
            return True
    return False


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] is whole words, and no part of a link."""
    if start and (text[start - 1].isalnum() or text[start - 1] in "_$"):
        return False
    if end < len(text) and (text[end].isalnum() or text[end] == "_"):
        return False
    if text[start].isdecimal() and _is_figure(text, start, end):
        return False
    since = max(0, start - _LONGEST_LINK)
    return "://" not in text[text.rfind(" ", since, start) + 1 or since : start]


def _is_figure(text: str, start: int, end: int) -> bool:
    """Whether what begins with a digit is the end of a number ($8.3M) or a span (3M/3M)."""
    before = text[start - 1 : start]
    decimal = before in {".", ","} and text[start - 2 : start - 1].isdecimal()
    return decimal or before in _BEFORE_FIGURES or text[end : end + 1] == "/"


def _fold(text: str) -> str:
    """Small letters, straight apostrophes and plain hyphens; offsets stay."""
    folded = text.lower()
    if text.isascii():
        return folded
    if len(folded) != len(text):
        folded = "".join(small if len(small := char.lower()) == 1 else char for char in text)
    return folded.replace("\u2019", "'").replace("\u2010", "-").replace("\u2011", "-")


def _spellings(name: str) -> set[str]:
    """The folded forms in which people write a name."""
    forms = {_fold(unicodedata.normalize("NFC", name))}
    for letter in name:
        if plain := unicodedata.normalize("NFD", letter)[:1].lower():
            forms |= {form.replace(_fold(letter), plain) for form in forms}
    for old, new in ((" & ", " and "), ("-", " "), ("'", ""), (".", "")):
        forms |= {form.replace(old, new) for form in forms}
    return {form.strip() for form in forms}
