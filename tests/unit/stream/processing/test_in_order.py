"""Whatever finishes first, each line is handed on in the order in which it came in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.processing.in_order import InOrder


@given(lines=st.lists(st.sampled_from("abc"), max_size=30), data=st.data())
def test_each_line_comes_out_as_it_came_in_and_nothing_waits_for_another_line(
    lines: list[str], data: st.DataObject
) -> None:
    order: InOrder[str, tuple[str, int]] = InOrder()
    for number, line in enumerate(lines):
        order.enter(line, number)
    came_out: list[tuple[str, int]] = []
    left = data.draw(st.permutations(list(enumerate(lines))))
    while left:
        size = data.draw(st.integers(1, len(left)))
        batch, left = left[:size], left[size:]
        came_out += order.finish([(line, number, (line, number)) for number, line in batch])
        unfinished = {line: [n for n, other in left if other == line] for line in "abc"}
        for line, numbers in unfinished.items():
            ours = [number for other, number in came_out if other == line]
            all_of_it = [number for number, other in enumerate(lines) if other == line]
            before_the_first = [n for n in all_of_it if n < min(numbers, default=len(lines))]
            assert ours == before_the_first
    assert len(came_out) == len(lines)
    assert order.held == 0
