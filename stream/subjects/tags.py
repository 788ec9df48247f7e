"""Ticker symbols that are marked as such: cash tags, codes of American exchanges. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left
from operator import itemgetter
from typing import NamedTuple

# A letter must follow the dollar sign, or prices would be companies; what is glued to a word is
# slang (CA$H), but "$HALC$NORR" are two, and ideograms part no words. Behind an underscore stands
# the month of a future: $ES_F is no share. Behind "$HALC.It fell" only a space is missing.
# The dollar sign stands first in the expression, or each character would be tried.
_TAGS_IN_A_ROW = "|".join(rf"(?<=\$[A-Z]{{{letters}}}\$)" for letters in range(1, 7))
_CASH_TAG = re.compile(
    rf"\$(?:(?<![A-Za-z0-9\u00c0-\u024f]\$)|{_TAGS_IN_A_ROW})"
    r"([A-Za-z]{1,6})(?:\.([A-Z]{1,2}|[a-z]{1,2})|[/-]([A-C]))?(?![A-Za-z0-9_])"
)
_SHARE_CLASS = re.compile(r"([A-Z]{1,6})[/-]([A-C])")
# American exchanges only: elsewhere the same letters are other companies.
_LISTED = re.compile(
    r"\b(?i:nyse(?:\s?american|\s?arca)?|nasdaq|amex|otc(?:mkts)?)\s?:\s?"
    r"([A-Z]{1,6})(?:[./-]([A-Z]{1,2}))?(?![A-Za-z0-9])"
)
# Reuters writes the exchange behind the symbol: WMT.N, YHOO.O. One letter may be an initial (U.N).
_AMERICAN = ("N", "O", "OQ")
MARKS_IN_FOLDED = ("nyse", "nasdaq", "amex", "otc")
MARKS_IN_WRITTEN = (".N", ".O")
"""A text with a code holds one of these, in small letters or as written."""
_REUTERS = re.compile(
    rf"(?:(?<![A-Za-z0-9.$])([A-Z]{{2,6}})|(?<=[(<])([A-Z]))\.(?:{'|'.join(_AMERICAN)})"
    r"(?![A-Za-z0-9]|\.[A-Za-z])"
)


class Mention(NamedTuple):
    """A company named at text[start:end]; ticker as the text or the knowledge base writes it."""

    ticker: str
    start: int
    end: int


START = itemgetter(1)


def find_tags(text: str, *, marked: bool) -> list[Mention]:
    """What says itself that it is a symbol: $HALC, NYSE: HALC, HALC.N.

    marked says whether the text holds one of the marks, which costs nothing where other words are
    looked for anyway.
    """
    found: list[Mention] = []
    if "$" in text:
        found = [
            Mention(
                tag[1].upper() if tag.lastindex == 1 else _symbol(tag[1], tag[2] or tag[3]),
                tag.start(),
                tag.end(),
            )
            for tag in _CASH_TAG.finditer(text)
        ]
    if marked:
        # With the exchange, or the AMEX before a colon would be American Express beside it.
        listed = [Mention(_symbol(*one.groups()), *one.span()) for one in _LISTED.finditer(text)]
        reuters = [Mention(one[1] or one[2], *one.span()) for one in _REUTERS.finditer(text)]
        found = _joined(_joined(found, listed), reuters)
    return found


def as_listed(ticker: str) -> str:
    """A ticker by itself, as the knowledge base writes it: BRK/B and BRK-B are BRK.B.

    Behind a hyphen may also stand a currency (BTC-USD), so only a usual letter is a share class.
    """
    found = _SHARE_CLASS.fullmatch(ticker)
    return _symbol(*found.groups()) if found else ticker


def _joined(found: list[Mention], more: list[Mention]) -> list[Mention]:
    """Both in the order of the text; where they overlap, what was found first stays."""
    found += [one for one in more if not overlaps(found, one.start, one.end)]
    return sorted(found, key=START)


def _symbol(symbol: str, suffix: str | None) -> str:
    """As the knowledge base writes it: BRK/B and BRK-B are BRK.B, and V.N is V in New York."""
    if not suffix or suffix.upper() in _AMERICAN:
        return symbol.upper()
    return f"{symbol}.{suffix}".upper()


def overlaps(mentions: list[Mention], start: int, end: int) -> bool:
    """Of mentions in the order of the text, none inside another."""
    before = bisect_left(mentions, end, key=START)
    return before > 0 and start < mentions[before - 1].end
