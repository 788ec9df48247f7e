"""The model abstains from what it can't read, and says why."""

from __future__ import annotations

import pytest

from stream.ingest.readable import abstain, why_unreadable
from tests.fakes import scores

EN = ("en",)


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("Card declined again", "en"),
        ("$ABCD to the moon", "und"),
        ("FDA OK", "und"),
        ("thx, works", "en-GB"),
        ("Where is my card? https://example.com/1", ""),
    ],
)
def test_a_few_words_of_the_models_language_are_read(text, lang):
    assert why_unreadable(text, lang, EN) == ""


@pytest.mark.parametrize(
    ("text", "lang", "why"),
    [
        ("Wo bleibt meine neue Karte?", "de", "language de, the model reads en"),
        ("", "und", "no words"),
        ("1234 5678, 99.5%", "und", "no words"),
        ("https://example.com/very/long/link @someone", "und", "no words"),
        ("sdfghjkl qwrtzp", "und", "no words"),
        ("!!! ??? :-)", "und", "no words"),
        ("help", "en", "fewer than two words"),
    ],
)
def test_what_can_not_be_judged_has_its_reason(text, lang, why):
    assert why_unreadable(text, lang, EN) == why


def test_without_a_list_every_language_is_read():
    assert why_unreadable("Wo bleibt meine neue Karte?", "de", ()) == ""


def test_scripts_without_spaces_are_no_single_word():
    assert why_unreadable("我的卡在哪里", "zh", ("zh",)) == ""
    assert why_unreadable("卡", "zh", ("zh",)) == "no words"


def test_abstaining_changes_nothing_else():
    before = scores(topic=("cards", 0.97))
    after = abstain(before)
    assert all(score.abstained for score in after.values())
    assert after["topic"].scores == before["topic"].scores
    assert after["topic"].label == "cards"
