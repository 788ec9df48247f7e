"""What pages compute from records: subjects over time, words to mark, settings to show."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.config.connections import Console
from stream.config.settings import Settings
from stream.console.highlight import MOST_WORDS, shared_words
from stream.console.markets import BUCKETS, heat_map, tone, view_of
from stream.console.settings_view import MASK, shown
from stream.ingest.readable import abstain
from stream.records import Subject
from tests.fakes import NOON, scored, scores

HALC = (Subject("ticker", "HALC"),)
NORR = (Subject("ticker", "NORR"),)


def test_a_subject_is_shown_over_time_with_its_alerts() -> None:
    good = scores(sentiment=("positive", 0.9))
    events = [
        scored(id="a", subjects=HALC, after_s=0),
        scored(id="b", subjects=HALC, after_s=600, source="social", heads=good),
        scored(id="c", subjects=NORR, after_s=700),
    ]
    view = view_of(events, "ticker", "HALC", [NOON])
    assert view
    assert view.width_s == 60
    assert (view.sources, view.labels) == (
        {"news": 1, "social": 1},
        {"negative": 1, "positive": 1},
    )
    told = {bucket.start: bucket for bucket in view.buckets if bucket.volume}
    first, last = told[NOON], told[NOON + timedelta(seconds=600)]
    assert first.tone == pytest.approx(-0.925)
    assert last.tone == pytest.approx(0.85)
    assert (first.alerts, last.alerts) == (1, 0)
    assert [event.id for event in view.events] == ["b", "a"]
    assert view_of(events, "ticker", "NONE", []) is None


def test_copies_weigh_less_in_the_tone_and_what_the_model_is_unsure_of_nothing() -> None:
    good = scores(sentiment=("positive", 0.95))
    copy = (Subject("ticker", "HALC", 1.0, 0.0),)
    events = [
        scored(id="a", subjects=HALC),
        scored(id="b", subjects=copy, heads=good),
        scored(id="c", subjects=HALC, heads=abstain(good)),
    ]
    view = view_of(events, "ticker", "HALC", [])
    assert view
    assert view.buckets[-1].volume == 3
    assert view.buckets[-1].tone == pytest.approx(-0.925)
    assert tone(events[2]) is None


@given(st.lists(st.floats(0, 4_000_000), min_size=1, max_size=60))
def test_however_events_lie_in_time_buckets_are_few_and_hold_the_latest(
    moments: list[float],
) -> None:
    events = [scored(id=str(n), subjects=HALC, after_s=at) for n, at in enumerate(moments)]
    found = heat_map(events, limit=5)
    (busy,) = found.subjects
    assert 1 <= len(found.starts) <= BUCKETS
    assert len(busy.volumes) == len(busy.tones) == len(found.starts)
    assert busy.volumes[-1] >= 1
    assert sum(busy.volumes) <= busy.volume == len(events)


def test_the_busiest_subjects_come_first_and_customers_are_no_market() -> None:
    events = [scored(id=str(n), subjects=HALC) for n in range(3)]
    events += [scored(id="x", subjects=(*NORR, Subject("customer", "c-1")))]
    assert [one.id for one in heat_map(events, limit=5).subjects] == ["HALC", "NORR"]
    assert [one.id for one in heat_map(events, limit=1).subjects] == ["HALC"]
    assert heat_map([], limit=5).subjects == ()


def test_words_that_texts_share_and_the_subjects_are_marked() -> None:
    texts = ["Halcyon plant shut again", "HALC: the plant was shut", "Unrelated", "Unrelated"]
    assert shared_words(texts, "ticker:HALC") == ["halc", "plant", "shut"]
    assert shared_words(["once only"], "ticker:HALC") == []


@given(st.lists(st.text(max_size=80), max_size=8), st.text(max_size=20))
def test_marking_takes_any_text(texts: list[str], subject: str) -> None:
    words = shared_words(texts, subject)
    assert len(words) <= MOST_WORDS
    assert all(any(word in text.lower() for text in texts) for word in words)


def test_settings_are_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLWETHER_KAFKA__PASSWORD", "hush hush")
    monkeypatch.setenv("BELLWETHER_KAFKA__USERNAME", "me")
    monkeypatch.setenv("BELLWETHER_KAFKA__SASL", "PLAIN")
    monkeypatch.setenv("BELLWETHER_REDIS__URL", "redis://me:p:w@cache:6379/1")
    rows = {row.name: row for row in shown(Settings())}
    assert rows["kafka.password"].value == MASK
    assert rows["redis.url"].value == f"redis://{MASK}@cache:6379/1"
    assert (rows["redis.url"].changed, rows["redis.prefix"].changed) == (True, False)
    assert all("hush" not in row.value and "p:w" not in row.value for row in rows.values())
    assert rows["console.listen"].value == "127.0.0.1:8765"
    assert rows["sources"].value.startswith('{"topic":"news","kind":"news"')


@pytest.mark.parametrize("listen", ["0.0.0.0:8765", "[::]:8765", "console.example:80"])
def test_a_console_open_to_others_needs_users(listen: str) -> None:
    with pytest.raises(ValueError, match=r"needs console\.users"):
        Console(listen=listen)
    assert Console(listen=listen, users="users.json").users  # type: ignore[arg-type]


@pytest.mark.parametrize("listen", ["8765", "localhost", "127.0.0.1:70000", "127.0.0.1:x"])
def test_an_address_is_host_and_port(listen: str) -> None:
    with pytest.raises(ValueError, match="must be host:port"):
        Console(listen=listen)
