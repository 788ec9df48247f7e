"""Which companies a text names, and what only looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.ingest.text import clean_text
from stream.subjects.companies import KnowledgeBase
from stream.subjects.mentions import MentionSearch

SEARCH = MentionSearch(KnowledgeBase.load(None))


def named(text: str, known: tuple[str, ...] = ()) -> list[str]:
    return [f"{one.ticker}={text[one.start : one.end]}" for one in SEARCH.find(text, known)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # Cash tags, and prices that are none.
        ("selling $halc now", ["HALC=$halc"]),
        ("$BRK.B and ($HALC).", ["BRK.B=$BRK.B", "HALC=$HALC"]),
        ("it costs $500 or $5M, US$ and $ alone, $TOOLONGNAME", []),
        # A class of shares in all its spellings, and what a future, slang and a row of tags are.
        ("$BRK/B, $BRK-B, $RDS-a", ["BRK.B=$BRK/B", "BRK.B=$BRK-B", "RDS=$RDS"]),
        ("$halc.to, $HALC.It fell.$HALC.", ["HALC.TO=$halc.to", "HALC=$HALC", "HALC=$HALC"]),
        ("$HALC-led, $HALC/NORR", ["HALC=$HALC", "HALC=$HALC"]),
        ("$ES_F and $NQ_F up", []),
        ("CA$H for Ke$ha, A$AP and G$FB", []),
        ("$HALC$NORR, \u5173\u4e8e$HALC", ["HALC=$HALC", "NORR=$NORR", "HALC=$HALC"]),
        # Codes of Reuters for American listings.
        ("Halcyon Inc. HALC.O fell", ["HALC=HALC.O"]),
        ("(HALC.N: Quote), $HALC.N", ["HALC=HALC.N", "HALC=$HALC.N"]),
        ("Ford (F.N) and <T.N>", ["F=Ford", "F=F.N", "T=T.N"]),
        ("at the U.N. and U.N headquarters, HALC.L, HALC.NX, U.S.O.", []),
        # Behind an exchange.
        ("Masimo (NASDAQ:MASI) and NYSE: T", ["MASI=NASDAQ:MASI", "T=NYSE: T"]),
        ("listed on AMEX : HALC", ["HALC=AMEX : HALC"]),
        ("the Nasdaq: a history", []),
        # Names: any letters' case, possessives, the longest, whole words.
        ("Tesla's and tesla and TESLA", ["TSLA=Tesla", "TSLA=tesla", "TSLA=TESLA"]),
        ("Bank of America said", ["BAC=Bank of America"]),
        ("an American Expressway", []),
        ("Intelligent Boeings", []),
        ("McDonald\u2019s, Mcdonalds", ["MCD=McDonald\u2019s", "MCD=Mcdonalds"]),
        ("T\u2011Mobile, Hewlett\u2010Packard", ["TMUS=T\u2011Mobile", "HPQ=Hewlett\u2010Packard"]),
        ("Nestl\u00e9 or Nestle", ["NSRGY=Nestl\u00e9", "NSRGY=Nestle"]),
        ("Procter and Gamble, AT&T", ["PG=Procter and Gamble", "T=AT&T"]),
        ("\u0130stanbul likes Boeing", ["BA=Boeing"]),
        ("see https://shop.example/tesla/now", []),
        # Short names only in capitals.
        ("gm all, GM shares up", ["GM=GM"]),
        # Plain words in small letters.
        ("an apple a day; Apple Pie; the Big Apple", []),
        ("Apple will pay", ["AAPL=Apple"]),
        # Ambiguous names: capitals and markets, or another company.
        ("Target your audience", []),
        ("on target: shares fell 3%", []),
        ("Target shares fell", ["TGT=Target"]),
        ("Walmart and Target", ["WMT=Walmart", "TGT=Target"]),
        ("price target for Target stock", ["TGT=Target"]),
        # What is a word of the markets besides: only what follows or stands beside it decides.
        ("Walmart hits its Growth Target as shares rise", ["WMT=Walmart"]),
        ("Hackers Target Boeing, Tesla Price Target: $300", ["BA=Boeing", "TSLA=Tesla"]),
        ("Apple sees Target 15% above", ["AAPL=Apple"]),
        ("Apple, Gap and Boeing", ["AAPL=Apple", "GAP=Gap", "BA=Boeing"]),
        ("Gap's plan for its shares; Gap CEO leaves", ["GAP=Gap", "GAP=Gap"]),
        ("Boeing may fill the Gap at 38; a Gap, a Target", ["BA=Boeing"]),
        ("$TGT: Target adds stores", ["TGT=$TGT", "TGT=Target"]),
        # A name of several words is one with the capitals of each.
        ("the second-largest U.S. bank", []),
        ("U.S. Bank and US BANK", ["USB=U.S. Bank", "USB=US BANK"]),
        # Figures and spans of months.
        ("revenue of $8.3M, 1,3M users, \u20ac3M, growth (3M/3M)", []),
        ("3M's shares, and 3M.", ["MMM=3M", "MMM=3M"]),
        # Other companies of the same name.
        ("Nokia Siemens Networks and Siemens", ["SIEGY=Siemens"]),
        ("Merck KGaA and Coca-Cola HBC", []),
        ("Berkshire Hills shares", []),
        ("HP and Hewlett-Packard shares", ["HPQ=HP", "HPQ=Hewlett-Packard"]),
        # Bare symbols.
        ("NVDA is dear", ["NVDA=NVDA"]),
        ("nvda is dear", []),
        ("I told you ALL that stocks fall", []),
        ("SELL ALL STOCKS", []),
        ("IT stocks, A shares", []),
        ("CAT shares fell, my CAT slept", ["CAT=CAT"]),
        ("Caterpillar stock (CAT)", ["CAT=Caterpillar", "CAT=CAT"]),
        ("SAN FRANCISCO - stocks fell", []),
    ],
)
def test_companies_are_found_and_look_alikes_are_not(text: str, found: list[str]) -> None:
    assert named(text) == found


def test_what_the_event_is_known_to_be_about_settles_an_ambiguous_name() -> None:
    assert named("Shell and its tankers") == []
    assert named("Shell and its tankers", known=("SHEL",)) == ["SHEL=Shell"]
    assert named("Shell and its tankers $SHEL") == ["SHEL=Shell", "SHEL=$SHEL"]


def test_a_name_goes_by_the_symbol_that_the_text_uses() -> None:
    assert named("$GOOG: Google fell") == ["GOOG=$GOOG", "GOOG=Google"]
    assert named("Google fell") == ["GOOGL=Google"]


def test_an_own_name_is_found_in_all_its_spellings(tmp_path: Path) -> None:
    path = tmp_path / "companies.toml"
    path.write_text('[x]\nHALC = { name = "H\u00e4lcyon-Robots & Sons" }\n', encoding="utf-8")
    search = MentionSearch(KnowledgeBase.load(path))
    for text in ("H\u00e4lcyon-Robots & Sons", "halcyon robots and sons", "HALCYON-ROBOTS & SONS"):
        assert [one.ticker for one in search.find(text)] == ["HALC"], text


PIECES = [
    "Apple",
    "apple",
    "$AAPL",
    "NYSE: CAT",
    "(CAT)",
    "Bank of America",
    "McDonald’s",
    "İ",
    "ß",
    "stocks",
    "https://x.y/tesla",
    "3M",
    "Target",
    "GE.N",
    "$BRK/B",
    "AT&T",
    "'s",
    "$",
    ":",
    " ",
    "\n",
    "😀",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "Oracle " * 30_000,
        "Oracle " + "1" * 200_000,
        "Meta " * 20 + "1" * 200_000,
        "Meta/" * 40_000,
        "CAT " * 50_000,
        "$AB Meta " * 20_000,
        "CAT" + " " * 200_000,
        "Target " * 30_000,
        "AB.N " * 40_000,
        "$AB" * 60_000,
    ],
    ids=lambda text: text[:12],
)
def test_a_text_made_to_be_slow_takes_no_longer_than_others_of_its_length(text: str) -> None:
    """Looked through once for each name or digit in it, each of these would take hours."""
    assert {mention.ticker for mention in SEARCH.find(text)} <= {"AB", "META"}


@example("NYSE: CATAT&T$AAPL")
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=30).map("".join))
def test_any_text_is_searched_and_offsets_are_those_of_the_text(text: str) -> None:
    cleaned = clean_text(text, 1_000)
    found = SEARCH.find(cleaned)
    ends = 0
    for mention in found:
        assert ends <= mention.start < mention.end <= len(cleaned)
        ends = mention.end
        surface = cleaned[mention.start : mention.end]
        assert surface == surface.strip()
        assert mention.ticker.isupper() or mention.ticker.isdigit()
    # Padding moves every mention by its length and changes none.
    padded = SEARCH.find(f"-- {cleaned}")
    assert [(one.ticker, one.start - 3, one.end - 3) for one in padded] == found
