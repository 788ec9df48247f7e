"""Nothing is lost, nothing run twice, nothing waits for ever: the queue against a plain model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from models.window import Arrivals, Waiting, Window, cut_batch, cut_padded

LENGTHS = st.integers(1, 60)
PATIENCE = st.sampled_from([0.0, 1.0, 20.0])


class Queue(RuleBasedStateMachine):
    """Arrivals and window as the batcher uses them; the model is two sets and a clock."""

    @initialize(limit=st.integers(8, 128), pads=st.booleans())
    def begin(self, limit: int, pads: bool) -> None:
        self.limit = limit
        self.pads = pads
        self.now = 0.0
        self.arrivals: Arrivals[int] = Arrivals()
        self.window: Window[int] = Window()
        self.waiting: dict[int, Waiting[int]] = {}
        self.in_window: set[int] = set()
        self.done: set[int] = set()

    @rule(lengths=st.lists(LENGTHS, min_size=1, max_size=12), patience=PATIENCE)
    def arrive(self, lengths: list[int], patience: float) -> None:
        for length in lengths:
            number = len(self.waiting) + len(self.done)
            entry = Waiting(number, "word" * length, self.now, self.now + patience, number)
            self.arrivals.add(entry)
            self.waiting[number] = entry

    @rule(seconds=st.floats(0.0, 5.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def top_up(self) -> None:
        outside = [entry for number, entry in self.waiting.items() if number not in self.in_window]
        taken = self.arrivals.take(4 * self.limit - self.window.tokens, 60)
        urgent_first = sorted(outside, key=lambda entry: (entry.due, entry.arrival))
        assert taken == urgent_first[: len(taken)]
        for entry in taken:
            entry.tokens = [0] * (len(entry.text) // 4)
            self.window.add(entry)
            self.in_window.add(entry.item)

    @rule()
    def run_a_batch(self) -> None:
        before = [self.waiting[number] for number in self.in_window]
        batch, ended_by = self.window.take(self.limit, pads=self.pads)
        if not before:
            assert (batch, ended_by) == ([], "idle")
            return
        lengths = [len(entry.tokens) for entry in batch]
        cost = len(lengths) * max(lengths) if self.pads else sum(lengths)
        assert len(batch) == 1 or cost <= self.limit
        assert min(before, key=lambda entry: (entry.due, entry.arrival)) in batch
        assert (ended_by == "idle") == (len(batch) == len(before))
        for entry in batch:
            assert entry.item not in self.done
            self.done.add(entry.item)
            self.in_window.remove(entry.item)
            del self.waiting[entry.item]
        if not self.pads and self.in_window:
            last = max((entry.due, entry.arrival) for entry in batch)
            assert all(last < (self.waiting[number].due, number) for number in self.in_window)

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "window"):
            assert len(self.arrivals) + len(self.window) == len(self.waiting)
            held = sum(len(self.waiting[number].text) // 4 for number in self.in_window)
            assert self.window.tokens == held

    def teardown(self) -> None:
        if not hasattr(self, "window"):
            return
        for _ in range(2 * len(self.waiting)):
            self.top_up()
            self.run_a_batch()
        assert not self.waiting


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize("pads", [True, False])
def test_a_patient_text_is_run_although_urgent_ones_never_cease(pads):
    window: Window[str] = Window()
    window.add(Waiting("patient", "", 0.0, 5.0, 0, [0] * 50))
    for turn in range(1, 20):
        for place in range(4):
            window.add(Waiting("urgent", "", turn, float(turn), 4 * turn + place, [0] * 10))
        batch, _ = window.take(40, pads=pads)
        if any(entry.item == "patient" for entry in batch):
            # Those due before it, at 40 tokens a turn, and no other.
            assert turn <= 6
            return
    pytest.fail("the patient text was never run")


@given(
    lengths=st.lists(st.integers(1, 128), min_size=1, max_size=80).map(sorted),
    data=st.data(),
    max_tokens=st.integers(16, 4_096),
)
def test_a_cut_holds_the_oldest_text_and_the_budget(lengths, data, max_tokens):
    oldest = data.draw(st.integers(0, len(lengths) - 1))
    low, high, ended_by = cut_batch(lengths, oldest, max_tokens)
    assert 0 <= low <= oldest < high <= len(lengths)
    assert high - low == 1 or (high - low) * lengths[high - 1] <= max_tokens
    assert (ended_by == "idle") == (low == 0 and high == len(lengths))


def test_a_far_longer_text_gets_a_pass_of_its_own():
    assert cut_batch([4, 5, 6, 120], 0, 4_096) == (0, 3, "length")
    assert cut_batch([4, 5, 6, 120], 3, 4_096) == (3, 4, "length")


@given(st.lists(st.integers(1, 128), min_size=1, max_size=40).map(sorted), st.integers(16, 512))
def test_padded_batches_hold_every_text_once_in_order(lengths, budget):
    tokens = [[0] * length for length in lengths]
    batches = cut_padded(tokens, budget)
    assert [row for batch in batches for row in batch] == tokens
    assert all(len(batch) == 1 or len(batch) * len(batch[-1]) <= budget for batch in batches)
