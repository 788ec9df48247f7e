from __future__ import annotations

from typing import Any

from trainer.promotion.gate import Doubt, Evidence, Limits, Part, Slice, judge

LIMITS = Limits()


def part(
    name: Part, before: int, after: int, of: int, *, head: str = "topic", both: int | None = None
) -> Slice:
    """So many texts right before and after; both right in both, as many as can be if None."""
    shared = min(before, after) if both is None else both
    rows = (
        [(True, True)] * shared
        + [(True, False)] * (before - shared)
        + [(False, True)] * (after - shared)
    )
    rows += [(False, False)] * (of - len(rows))
    return Slice(
        head=head,
        source="news",
        part=name,
        champion_right=tuple(old for old, _ in rows),
        challenger_right=tuple(new for _, new in rows),
    )


def doubt(suspects: int, labels: int, author: str = "") -> Doubt:
    return Doubt(head="topic", author=author, suspects=suspects, labels=labels)


def verdict(*slices: Slice, **more: Any) -> Any:
    return judge(Evidence(slices=slices, **more), LIMITS)


def test_a_gain_without_a_loss_is_promoted_with_its_reason() -> None:
    said = verdict(part("recent", 20, 35, 40), part("base", 600, 600, 690))
    assert said.promoted
    assert "better on topic of news, recent: 0.500 to 0.875 of 40 texts" in said.reasons


def test_without_a_gain_there_is_nothing_to_change_for() -> None:
    said = verdict(part("recent", 30, 30, 40), part("base", 600, 610, 690))
    assert not said.promoted
    assert "no golden or recent label" in said.reasons[0]


def test_a_loss_beyond_chance_on_any_slice_is_refused() -> None:
    said = verdict(
        part("recent", 10, 40, 40),
        part("base", 600, 600, 690),
        part("base", 600, 585, 690, head="risk"),
    )
    assert not said.promoted
    assert len(said.reasons) == 1
    assert said.reasons[0].startswith("worse on risk of news, base: 0.870 to 0.848")
    assert said.changes[0].name == "risk of news, base"


def test_few_texts_all_lost_are_within_chance_and_one_more_is_not() -> None:
    gain = part("recent", 10, 40, 40)
    for lost in range(1, 6):
        assert verdict(gain, part("golden", lost, 0, lost, head="risk")).promoted
    assert not verdict(gain, part("golden", 6, 0, 6, head="risk")).promoted
    # 8 lost of 9 that differ are beyond chance, 9 of 11 are not, however many stay the same.
    assert not verdict(gain, part("base", 608, 601, 690, both=600)).promoted
    assert verdict(gain, part("base", 609, 602, 690, both=600)).promoted


def test_a_slice_of_thousands_is_judged_too() -> None:
    gain = part("recent", 10, 40, 40)
    assert verdict(gain, part("base", 6_000, 6_000, 9_000, both=3_000)).promoted
    assert not verdict(gain, part("base", 6_000, 5_800, 9_000, both=3_000)).promoted


def test_a_loss_that_chance_explains_passes_when_it_is_small() -> None:
    noise = part("base", 600, 598, 690, both=580)
    assert verdict(part("golden", 2, 8, 8), noise).promoted


def test_a_large_loss_is_refused_though_chance_could_explain_it() -> None:
    said = verdict(part("recent", 10, 40, 40), part("golden", 40, 36, 60, both=31))
    assert not said.promoted
    assert "worse on topic of news, golden" in said.reasons[0]


def test_a_loss_of_just_what_is_allowed_passes() -> None:
    gain = part("recent", 10, 40, 40)
    assert verdict(gain, part("base", 97, 94, 100)).promoted
    assert not verdict(gain, part("base", 97, 93, 100)).promoted


def test_one_answer_of_a_few_does_not_decide() -> None:
    assert verdict(part("recent", 10, 40, 40), part("golden", 6, 5, 8, both=5)).promoted


def test_labels_that_contradict_each_other_are_refused() -> None:
    said = verdict(part("recent", 10, 40, 40), doubts=(doubt(12, 50),))
    assert not said.promoted
    assert "12 of 50 labels for topic contradict" in said.reasons[0]
    assert verdict(part("recent", 10, 40, 40), doubts=(doubt(5, 50),)).promoted


def test_one_persons_bad_labels_do_not_drown_among_the_good_ones() -> None:
    said = verdict(part("recent", 10, 40, 40), doubts=(doubt(12, 400), doubt(10, 30, "mallory")))
    assert not said.promoted
    assert "10 of 30 labels for topic by mallory contradict" in said.reasons[0]


def test_a_few_labels_are_not_suspected_for_being_new() -> None:
    assert verdict(part("recent", 1, 5, 5), doubts=(doubt(5, 5),)).promoted


def test_a_slower_challenger_is_refused() -> None:
    said = verdict(part("recent", 10, 40, 40), slowdown=2.0)
    assert not said.promoted
    assert "2.00 times as long" in said.reasons[0]


def test_a_version_promoted_by_hand_need_not_be_better() -> None:
    same = Evidence(slices=(part("base", 600, 600, 690),))
    assert judge(same, LIMITS, must_gain=False).promoted
    worse = Evidence(slices=(part("base", 600, 400, 690),))
    assert not judge(worse, LIMITS, must_gain=False).promoted
