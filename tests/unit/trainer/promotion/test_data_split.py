"""What is golden judges and never teaches, for ever."""

from __future__ import annotations

import msgspec

from trainer.labels.settlement import Label
from trainer.promotion.data_split import GOLDEN_SHARE, split_labels


def label(number: int, says: str = "cards") -> Label:
    text = f"Ticket number {number} about a card."
    return Label(f"t-{number}", "topic", says, text, "ticket", ("ann",), ((0, number),))


def said(head: str, says: str, text: str, place: int, author: str = "ann") -> Label:
    return Label(f"t-{place}", head, says, text, "ticket", (author,), ((0, place),))


def texts(labels: list[Label]) -> tuple[set[str], set[str]]:
    data = split_labels(labels, {})
    return {one.text for one in data.train}, {one.text for one in data.golden}


def test_a_text_is_golden_or_teaches_whatever_else_is_labelled() -> None:
    learn, golden = texts([label(number) for number in range(400)])
    assert learn | golden == {label(number).text for number in range(400)}
    assert not learn & golden
    assert 0.5 * GOLDEN_SHARE < len(golden) / 400 < 2 * GOLDEN_SHARE
    # Fewer labels, in another order, corrected: each text stays where it was.
    again = [label(number, "loans") for number in reversed(range(0, 400, 3))]
    some_learn, some_golden = texts(again)
    assert some_learn <= learn
    assert some_golden <= golden


def test_the_held_out_sentences_of_ours_are_no_reminders() -> None:
    data = split_labels([label(1)], {})
    assert data.base
    assert not {one.text for one in data.base} & {one.text for one in data.reminders}


def test_a_label_is_recent_for_its_own_head_alone() -> None:
    many = [f"Ticket number {number} about a card." for number in range(40)]
    old = [said("risk", "low", text, at) for at, text in enumerate(many)]
    new = [said("topic", "cards", text, 40 + at) for at, text in enumerate(many)]
    data = split_labels([*old, *new], {"0": 40})
    assert data.recent == {("topic", one.text) for one in data.train}


def test_a_copy_of_a_text_that_the_champion_learnt_is_not_recent() -> None:
    many = [f"Ticket number {number} about a card." for number in range(40)]
    old = [said("topic", "cards", text, at) for at, text in enumerate(many)]
    new = [said("topic", "cards", text.upper(), 40 + at) for at, text in enumerate(many)]
    assert not split_labels([*new, *old], {"0": 40}).recent
    assert split_labels([*new, *old], {}).recent


def test_those_who_gave_a_copy_its_label_are_authors_too() -> None:
    ann, bob = (said("topic", "cards", "A lost card", at, who) for at, who in enumerate("ab"))
    again = msgspec.structs.replace(bob, text="a lost  CARD")
    for other in (bob, again):
        assert split_labels([ann, other], {}).authors == {("topic", "A lost card"): ("a", "b")}
