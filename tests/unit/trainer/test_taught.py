"""What is golden judges and never teaches, for ever."""

from __future__ import annotations

from trainer.settlement import Label
from trainer.taught import GOLDEN_SHARE, taught_by


def label(number: int, says: str = "cards") -> Label:
    text = f"Ticket number {number} about a card."
    return Label(f"t-{number}", "topic", says, text, "ticket", ("ann",), ((0, number),))


def texts(labels: list[Label]) -> tuple[set[str], set[str]]:
    taught = taught_by(labels, {})
    return {one.text for one in taught.learn}, {one.text for one in taught.golden}


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
    taught = taught_by([label(1)], {})
    assert taught.base
    assert not {one.text for one in taught.base} & {one.text for one in taught.reminders}
