"""Tickers, the customer and the topic of an event."""

from __future__ import annotations

import pytest

from stream.records import Subject
from stream.subjects import find_subjects
from tests.fakes import event


def tickers(text: str, title: str = "", listed: tuple[str, ...] = ()) -> dict[str, float]:
    found = find_subjects(event(text=text, title=title, tickers=listed), None)
    return {subject.id: subject.relevance for subject in found if subject.kind == "ticker"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("selling $halc now", {"HALC"}),
        ("$BRK.B and $HALC.", {"BRK.B", "HALC"}),
        ("($HALC)", {"HALC"}),
        ("it costs $500 or $5M", set()),
        ("US$ and $ alone", set()),
        ("$TOOLONGNAME is none", set()),
        ("$HALC $HALC twice", {"HALC"}),
        ("no sign at all: HALC", set()),
    ],
)
def test_cash_tags_are_tickers_and_prices_are_not(text: str, found: set[str]) -> None:
    assert set(tickers(text)) == found


def test_a_listed_or_titled_ticker_is_fully_relevant_however_many_share_the_text() -> None:
    found = tickers("$A $B $C $HALC", title="$NORR falls", listed=("HALC",))
    assert found == {"HALC": 1.0, "NORR": 1.0, "A": 0.25, "B": 0.25, "C": 0.25}


def test_customer_and_topic_follow_and_other_is_no_topic() -> None:
    ticket = event(source="ticket", customer="c-1")
    assert find_subjects(ticket, "cards") == (Subject("customer", "c-1"), Subject("topic", "cards"))
    assert find_subjects(ticket, "other") == (Subject("customer", "c-1"),)
    assert find_subjects(ticket, None) == (Subject("customer", "c-1"),)
