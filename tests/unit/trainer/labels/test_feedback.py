from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.spec import Head
from stream.names import MAX_ID_CHARS
from stream.records import Feedback
from tests.fakes import NOON, settle
from trainer.labels.feedback import MAX_FEEDBACK_BYTES, Accepted, Refusal, Text, read_feedback
from trainer.labels.settlement import Settled

HEADS = (Head(name="mood", labels=("bad", "good")), Head(name="kind", labels=("card", "loan")))
TEXTS = {f"e{n}": [Text(f"text of event {n}", "news")] for n in range(5)}


def row(**changes: Any) -> dict[str, Any]:
    fields = {
        "id": "f1",
        "event_id": "e1",
        "head": "mood",
        "label": "good",
        "author": "ann",
        "time": NOON.isoformat(),
    }
    return {**fields, **changes}


def said(offset: int, **changes: Any) -> Accepted:
    after_s = changes.pop("after_s", offset)
    fields = row(id=f"f{offset}", **changes) | {"time": NOON + timedelta(seconds=after_s)}
    return Accepted(0, offset, Feedback(**fields))


def settled(*accepted: Accepted) -> Settled:
    return settle(accepted, TEXTS, HEADS)


def test_good_feedback_is_read_and_unknown_fields_do_no_harm() -> None:
    feedback = read_feedback(orjson.dumps(row(mood="of the day")), HEADS, NOON)
    assert isinstance(feedback, Feedback)
    assert (feedback.event_id, feedback.label, feedback.version) == ("e1", "good", 1)


@pytest.mark.parametrize(
    ("payload", "reason", "field"),
    [
        (None, "empty", ""),
        (b"not json", "not_json", ""),
        (b"[" * 10_000, "not_json", ""),
        (b'{"x": ' * 5_000 + b"1" + b"}" * 5_000, "not_json", ""),
        (orjson.dumps([1]), "wrong_type", ""),
        (orjson.dumps(row(label=3)), "wrong_type", "label"),
        (orjson.dumps({"id": "f-1"}), "wrong_type", "event_id"),
        (orjson.dumps(row(head="taste")), "unknown_head", "head"),
        (orjson.dumps(row(label="great")), "unknown_label", "label"),
        (orjson.dumps(row(time="2126-01-01T00:00:00Z")), "future_time", "time"),
        (orjson.dumps(row(time="2026-01-01T00:00:00")), "bad_time", "time"),
        (orjson.dumps(row(author="  ")), "empty_field", "author"),
        (orjson.dumps(row(event_id="")), "empty_field", "event_id"),
        (orjson.dumps(row(id="x" * 500)), "too_long", "id"),
        (orjson.dumps(row(event_id="a\0b")), "bad_value", "event_id"),
        (orjson.dumps(row(author="a\0nn")), "bad_value", "author"),
        (orjson.dumps(row(version=2)), "unknown_version", "version"),
        (orjson.dumps(row(text="x" * MAX_FEEDBACK_BYTES)), "too_large", ""),
    ],
)
def test_bad_feedback_is_refused_with_its_reason_and_field(
    payload: bytes | None, reason: str, field: str
) -> None:
    refusal = read_feedback(payload, HEADS, NOON)
    assert isinstance(refusal, Refusal)
    assert (refusal.reason, refusal.field) == (reason, field)
    assert refusal.detail


@pytest.mark.parametrize("field", ["id", "event_id"])
def test_an_id_may_be_an_integer_as_in_a_source_record(field: str) -> None:
    feedback = read_feedback(orjson.dumps(row(**{field: 4711})), HEADS, NOON)
    assert isinstance(feedback, Feedback)
    assert getattr(feedback, field) == "4711"
    for other in (True, 47.11, None, ["e1"]):
        refusal = read_feedback(orjson.dumps(row(**{field: other})), HEADS, NOON)
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.field) == ("wrong_type", field)


def test_a_label_is_joined_with_its_event() -> None:
    (label,) = settled(said(1)).labels
    assert (label.text, label.source, label.label) == ("text of event 1", "news", "good")
    assert (label.authors, label.places) == (("ann",), ((0, 1),))


def test_a_repeat_counts_once_and_a_correction_counts() -> None:
    again = settled(said(1), said(2), said(3, label="bad"))
    assert [one.label for one in again.labels] == ["bad"]
    assert (again.repeats, again.corrections) == (1, 1)


def test_the_same_record_delivered_twice_is_a_repeat() -> None:
    first = said(1, label="good")
    correction = said(2, label="bad")
    late_copy = Accepted(0, 9, first.feedback)
    summed = settled(first, correction, late_copy)
    assert [one.label for one in summed.labels] == ["bad"]
    assert summed.repeats == 1


def test_one_id_for_labels_of_several_heads_or_events_is_no_repeat() -> None:
    """As a program sends them that names a label by its event, or not at all."""
    words = [
        row(event_id=event_id, head=head, label=label, id="same") | {"time": NOON}
        for event_id, head, label in (
            ("e1", "mood", "good"),
            ("e1", "kind", "card"),
            ("e2", "mood", "bad"),
        )
    ]
    summed = settled(*(Accepted(0, n, Feedback(**one)) for n, one in enumerate(words)))
    assert [(one.event_id, one.label) for one in summed.labels] == [
        ("e1", "card"),
        ("e1", "good"),
        ("e2", "bad"),
    ]
    assert summed.repeats == 0


def test_people_who_disagree_leave_the_event_out_until_a_majority_settles_it() -> None:
    two = (said(1, author="ann"), said(2, author="bob", label="bad"))
    assert settled(*two).labels == ()
    assert settled(*two).disputed == (("e1", "mood"),)
    three = settled(*two, said(3, author="cid", label="bad"))
    assert [one.label for one in three.labels] == ["bad"]
    assert (three.labels[0].authors, three.labels[0].places) == (("bob", "cid"), ((0, 2), (0, 3)))


def test_of_events_with_one_text_the_majority_counts_and_a_tie_is_disputed() -> None:
    texts = {f"e{n}": [Text("my card is lost", "ticket")] for n in (1, 2, 3)}
    texts["e3"] = [Text("My card  is LOST", "ticket")]
    one, other = said(1), said(2, event_id="e2", author="bob", label="bad")
    even = settle([one, other], texts, HEADS)
    assert (even.labels, even.disputed) == ((), (("e1", "mood"), ("e2", "mood")))
    settling = said(3, event_id="e3", author="cid", label="bad")
    summed = settle([one, other, settling], texts, HEADS)
    assert [(label.event_id, label.label) for label in summed.labels] == [
        ("e2", "bad"),
        ("e3", "bad"),
    ]
    assert summed.disputed == ()
    # What a fit did not learn before is new to the next one.
    assert all(label.newer_than(even.read_up_to) for label in summed.labels)


def test_a_label_for_an_event_nobody_has_seen_waits() -> None:
    assert settled(said(1, event_id="later")).unknown == (("later", "mood"),)
    texts = TEXTS | {"later": [Text("it came", "social")]}
    assert len(settle([said(1, event_id="later")], texts, HEADS).labels) == 1


def test_feedback_may_bring_the_text_of_an_event_that_never_ran() -> None:
    (label,) = settled(said(1, event_id="own", text="a text of my own", source="ticket")).labels
    assert (label.text, label.source) == ("a text of my own", "ticket")
    # As the stream would have made the model read it.
    raw = said(1, event_id="own", text="\u200b AT&amp;T\r\n  fell\0 ")
    assert settled(raw).labels[0].text == "AT&T fell"
    assert settled(said(1, event_id="own", text=" \u200b ")).unknown == (("own", "mood"),)


def test_an_id_that_two_sources_use_needs_the_source() -> None:
    texts = {"e1": [Text("a post", "social"), Text("a ticket", "ticket")]}
    assert settle([said(1)], texts, HEADS).ambiguous == (("e1", "mood"),)
    (label,) = settle([said(1, source="ticket")], texts, HEADS).labels
    assert label.text == "a ticket"


def test_a_label_for_one_of_two_events_of_an_id_is_no_correction_of_the_other() -> None:
    texts = {"e1": [Text("a post", "social"), Text("a ticket", "ticket")]}
    of_post, of_ticket = said(1, source="social"), said(2, source="ticket", label="bad")
    both = settle([of_post, of_ticket], texts, HEADS)
    assert [(one.text, one.label) for one in both.labels] == [
        ("a post", "good"),
        ("a ticket", "bad"),
    ]
    assert (both.disputed, both.corrections) == ((), 0)
    unclear = settle([of_post, of_ticket, said(3, author="bob", label="bad")], texts, HEADS)
    assert unclear.labels == both.labels
    assert unclear.ambiguous == (("e1", "mood"),)
    # Before or after she says which one she meant.
    said_which = settle([said(0), of_post, of_ticket, said(3)], texts, HEADS)
    assert (said_which.labels, said_which.ambiguous) == (both.labels, ())


def test_a_label_with_a_text_of_its_own_waits_for_no_other_source_of_that_id() -> None:
    texts = {"e1": [Text("a post", "social")]}
    assert settle([said(1, source="ticket")], texts, HEADS).unknown == (("e1", "mood"),)
    (label,) = settle([said(1, source="ticket", text="a ticket")], texts, HEADS).labels
    assert (label.text, label.source) == ("a ticket", "ticket")


def test_of_an_event_that_came_again_edited_the_last_text_is_labelled() -> None:
    texts = {"e1": [Text("my card", "ticket"), Text("my card is back, thanks", "ticket")]}
    (label,) = settle([said(1)], texts, HEADS).labels
    assert label.text == "my card is back, thanks"
    both = {"e1": [Text("a post", "social"), *texts["e1"]]}
    assert settle([said(1)], both, HEADS).ambiguous == (("e1", "mood"),)


def test_labels_that_the_model_no_longer_has_are_left_out() -> None:
    assert settle([said(1)], TEXTS, HEADS[1:]).labels == ()


def test_a_label_that_there_is_no_more_outvotes_none_and_disputes_nothing() -> None:
    renamed = [said(n, author=name, label="awful") for n, name in enumerate(("ann", "bob"))]
    (label,) = settled(*renamed, said(3, author="cid", label="bad")).labels
    assert (label.label, label.authors) == ("bad", ("cid",))
    nothing = settled(*renamed)
    assert (nothing.labels, nothing.disputed, nothing.unknown) == ((), (), ())
    # It is her last word all the same: what she took back is not hers.
    assert settled(said(1), said(2, label="awful")).labels == ()


def test_what_the_model_can_not_read_is_counted_and_teaches_nothing() -> None:
    texts = {"e1": [Text("wo ist meine Karte", "ticket", "language de, the model reads en")]}
    summed = settle([said(1)], texts, HEADS)
    assert (summed.labels, summed.unreadable) == ((), (("e1", "mood"),))
    read_since = {"e1": [*texts["e1"], Text("wo ist meine neue Karte", "ticket")]}
    assert len(settle([said(1)], read_since, HEADS).labels) == 1


def test_what_is_new_to_a_fit_is_told_by_offsets() -> None:
    before = settled(said(1), said(2, event_id="e2"))
    after = settled(said(1), said(2, event_id="e2"), said(3, event_id="e1", label="bad"))
    assert before.read_up_to == {"0": 3}
    assert [one.event_id for one in after.labels if one.newer_than(before.read_up_to)] == ["e1"]


def test_a_label_whose_event_came_late_is_new_to_the_next_fit_and_to_that_one_only() -> None:
    said_all = (said(1, event_id="late"), said(2, event_id="never"), said(3))
    before = settled(*said_all)
    assert before.read_up_to == {"0": 4, "0 waiting": [1, 2]}
    after = settle(said_all, TEXTS | {"late": [Text("it came", "social")]}, HEADS)
    new = [one.event_id for one in after.labels if one.newer_than(before.read_up_to)]
    assert new == ["late"]
    assert not any(one.newer_than(after.read_up_to) for one in after.labels)


def test_a_label_that_is_no_longer_disputed_is_new_to_the_next_fit() -> None:
    votes = [
        said(n, author=name, label="good" if n < 2 else "bad")
        for n, name in enumerate(("ann", "bob", "cid", "dan"))
    ]
    before = settled(*votes, said(4, event_id="e2"))
    # Those who agree now said so before; what came since is of another opinion.
    after = settled(*votes, said(4, event_id="e2"), said(5, author="dan", label="unsure"))
    assert [one.event_id for one in after.labels if one.newer_than(before.read_up_to)] == ["e1"]


def test_only_the_latest_that_wait_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.labels.settlement.MOST_WAITING", 2)
    waiting = [said(n, event_id=f"never {n}") for n in range(5)]
    assert settled(*waiting, said(5)).read_up_to == {"0": 6, "0 waiting": [3, 4]}


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["e1", "e2", "e3"]),
            st.sampled_from(["ann", "bob"]),
            st.sampled_from(["good", "bad", "of former times"]),
            st.sampled_from(["", "news", "social"]),
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_changes_nothing(
    words: list[tuple[str, str, str, str]], draw: Any
) -> None:
    accepted = [
        said(n, event_id=event, author=author, label=label, source=source)
        for n, (event, author, label, source) in enumerate(words)
    ]
    shuffled = draw.sample(accepted, len(accepted))
    assert settled(*accepted) == settled(*shuffled)
    assert settled(*accepted).fingerprint == settled(*shuffled).fingerprint


def test_bytes_that_are_no_utf8_are_refused_and_do_not_end_the_trainer() -> None:
    refusal = read_feedback(b'{"id": "caf\xe9"}', HEADS, NOON)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "not_json"


def test_an_event_may_have_any_id_that_sources_take() -> None:
    assert isinstance(
        read_feedback(orjson.dumps(row(event_id="e" * MAX_ID_CHARS)), HEADS, NOON), Feedback
    )
    for field, length in (("event_id", MAX_ID_CHARS), ("author", 200)):
        refusal = read_feedback(orjson.dumps(row(**{field: "e" * (length + 1)})), HEADS, NOON)
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.field) == ("too_long", field)
