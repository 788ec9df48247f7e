"""Companies, sectors, the customer, the topic and a user's own fields of an event."""

from __future__ import annotations

from typing import Any

import pytest

from stream.config.settings import SettingsError
from stream.config.subjects import Subjects
from stream.records import Subject
from stream.subjects.finder import SubjectFinder
from tests.fakes import event

FINDER = SubjectFinder.load(Subjects())


def found(kind: str, **fields: Any) -> dict[str, float]:
    subjects = FINDER.find(event(**fields), None)
    return {one.id: one.relevance for one in subjects if one.kind == kind}


def test_a_listed_or_titled_ticker_is_fully_relevant_however_many_share_the_text() -> None:
    fields = {"text": "$A $B $C $HALC", "title": "$NORR falls", "tickers": ("HALC",)}
    assert found("ticker", **fields) == {"HALC": 1, "NORR": 1, "A": 0.25, "B": 0.25, "C": 0.25}


@pytest.mark.parametrize("listed", ["BRK.B", "BRK-B", "BRK/B"])
def test_a_share_class_is_one_subject_however_record_and_text_write_it(listed: str) -> None:
    for text in ("$BRK.B falls", "$BRK/B falls", "NYSE: BRK-B falls", "Berkshire shares fall"):
        assert found("ticker", text=text, tickers=(listed,)) == {"BRK.B": 1}
        assert found("sector", text=text, tickers=(listed, "BRK.B")) == {"financials": 1}
    assert found("ticker", text="\u2026", title="Berkshire falls", tickers=(listed,)) == {
        "BRK.B": 1
    }


def test_other_hyphens_and_slashes_of_a_listed_ticker_stay() -> None:
    kept = ("BTC-USD", "EUR/USD", "ES=F", "0700.HK", "BAC-PL", "VOLV-B.ST", "BRK.B-W", "A-", "-B")
    assert [*found("ticker", text="\u2026", tickers=kept)] == [*kept]
    assert [*found("ticker", text="\u2026", tickers=("BF-B", "RDS/A"))] == ["BF.B", "RDS.A"]


def test_companies_share_a_text_by_how_often_it_names_each() -> None:
    text = "Boeing, Airbus and Nvidia; Boeing again"
    assert found("ticker", text=text) == {"BA": 0.5, "EADSY": 0.25, "NVDA": 0.25}
    assert found("ticker", text="Boeing and Airbus") == {"BA": 1, "EADSY": 1}


def test_an_aside_counts_half() -> None:
    late = "Boeing " + "says nothing new " * 15 + "and neither does Airbus."
    assert found("ticker", text=late) == {"BA": 1, "EADSY": 0.5}


@pytest.mark.parametrize(
    ("text", "relevances"),
    [
        ("Goldman Sachs upgrades Boeing to buy", {"GS": 0.2, "BA": 1}),
        ("Boeing downgraded to hold at Citigroup", {"BA": 1, "C": 0.2}),
        ("Morgan Stanley analysts say Boeing is cheap", {"MS": 0.2, "BA": 1}),
        ("Boeing slips after a downgrade from Citi", {"BA": 1, "C": 0.2}),
        ("Boeing soars as Morgan Stanley turns bullish", {"BA": 1, "MS": 0.2}),
        ("UBS slashes Boeing's target", {"UBS": 0.2, "BA": 1}),
        ("BofA Securities ups Boeing", {"BAC": 0.2, "BA": 1}),
        ("Boeing could double, says Goldman Sachs", {"BA": 1, "GS": 0.2}),
        ("Boeing may need capital - JPMorgan https://t.example/a", {"BA": 1, "JPM": 0.2}),
        ("Tankers for Boeing: UBS", {"BA": 1, "UBS": 0.2}),
        ("On the move: Citigroup, Boeing", {"C": 1, "BA": 1}),
        ("Boeing banker - JPMorgan hires him", {"BA": 1, "JPM": 1}),
        ("Goldman Sachs says it will cut jobs", {"GS": 1}),
        ("Wells Fargo and Citigroup are fined", {"WFC": 1, "C": 1}),
    ],
)
def test_a_bank_that_speaks_about_another_company_is_not_the_subject(
    text: str, relevances: dict[str, float]
) -> None:
    assert found("ticker", text=text) == relevances
    assert found("ticker", text="…", title=text) == relevances


def test_a_sector_is_as_relevant_as_its_most_relevant_company() -> None:
    text = "Boeing, Airbus and Nvidia; Boeing again"
    assert found("sector", text=text) == {"industrials": 0.5, "technology": 0.25}
    assert found("sector", text="…", tickers=("HALC",)) == {}


def test_customer_and_topic_follow_and_other_is_no_topic() -> None:
    ticket = event(source="ticket", customer="c-1")
    assert FINDER.find(ticket, "cards") == (Subject("customer", "c-1"), Subject("topic", "cards"))
    assert FINDER.find(ticket, "other") == (Subject("customer", "c-1"),)
    assert FINDER.find(ticket, None) == (Subject("customer", "c-1"),)


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("Card", ["Card"]),
        (7, ["7"]),
        (["a", "b", "a", 3], ["a", "b", "3"]),
        ("\x1b[31mred\x1b[0m ", ["red"]),
        ("", []),
        (None, []),
        (True, []),
        ({"x": 1}, []),
        (["", [], 1.5], []),
        (["x" * 511 + "1", "x" * 511 + "2"], ["x" * 511 + "1", "x" * 511 + "2"]),
        (["x" * 513, "a"], ["a"]),
        ([str(number) for number in range(50)], [str(number) for number in range(20)]),
    ],
)
def test_an_own_field_is_a_kind_of_subject(value: Any, ids: list[str]) -> None:
    finder = SubjectFinder.load(Subjects(fields={"product": 'attributes.item."product-name"'}))
    ticket = event(attributes={"item": {"product-name": value}})
    subjects = [one for one in finder.find(ticket, None) if one.kind == "product"]
    assert subjects == [Subject("product", one) for one in ids]


def test_the_author_may_be_a_subject() -> None:
    finder = SubjectFinder.load(Subjects(fields={"writer": "author"}))
    assert finder.find(event(author="Ann"), None) == (Subject("writer", "Ann"),)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("product", "subjects.fields.p: 'product' begins with none of attributes, author"),
        ("attributes[0].x", "is more than a dotted name"),
        ("attributes.", "is no JMESPath expression"),
    ],
)
def test_a_field_that_is_nowhere_is_refused(path: str, fault: str) -> None:
    with pytest.raises(SettingsError, match="p") as refused:
        SubjectFinder.load(Subjects(fields={"p": path}))
    assert fault in str(refused.value)


@pytest.mark.parametrize("kind", ["ticker", "event", "Product", "a b", "1st"])
def test_a_kind_has_a_new_and_plain_name(kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        Subjects(fields={kind: "author"})
