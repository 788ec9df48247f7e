"""Batches that are under way at a time: each text is answered once, by one model, as if alone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from models import cores
from models.batcher import Batcher
from models.cores import Cores
from models.int8 import multiplies_int8
from models.predictor import load_predictor
from models.results import Result, Tally
from models.spec import Scores
from models.stub import StubPredictor

DEADLINE_S = 10.0


class Held(StubPredictor):
    """Two lanes; a batch waits until the test lets one go. A text "bad" breaks it for good."""

    lanes = 2

    def __init__(self, *, version: str = "stub") -> None:
        super().__init__(version=version, batch_tokens=1)
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)
        self.bad_now = threading.Event()

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        self.begun.release()
        if tokens == self.tokenize(["bad"]) or self.bad_now.is_set():
            self.bad_now.set()
            raise RuntimeError("the device is gone")
        assert self.let_go.acquire(timeout=DEADLINE_S)
        return super().predict(tokens, kinds)

    def wait_for(self, batches: int) -> None:
        for _ in range(batches):
            assert self.begun.acquire(timeout=DEADLINE_S)


class Collected:
    def __init__(self) -> None:
        self.results: list[Result[int]] = []
        self.errors: list[Exception] = []
        self.told = threading.Event()
        self._one_at_a_time = threading.Lock()

    def deliver(self, results: list[Result[int]]) -> None:
        assert self._one_at_a_time.acquire(blocking=False)
        self.results += results
        self._one_at_a_time.release()

    def broken(self, error: Exception) -> None:
        self.errors.append(error)
        self.told.set()


def started(predictor: Held, *texts: str) -> tuple[Batcher[int], Collected]:
    """One text a batch."""
    collected = Collected()
    batcher: Batcher[int] = Batcher(
        predictor, max_batch_tokens=1, deliver=collected.deliver, broken=collected.broken
    )
    batcher.submit(list(enumerate(texts)))
    batcher.start()
    return batcher, collected


def test_two_batches_are_under_way_at_a_time_and_no_third() -> None:
    predictor = Held()
    batcher, collected = started(predictor, "a", "b", "c", "d", "e")
    predictor.wait_for(2)
    assert not predictor.begun.acquire(timeout=0.2)
    predictor.let_go.release(5)
    assert batcher.stop(DEADLINE_S)
    assert sorted(result.item for result in collected.results) == [0, 1, 2, 3, 4]
    assert (batcher.statistics().texts, batcher.statistics().batches) == (5, 5)


def test_a_swap_leaves_the_batches_under_way_to_the_model_that_began_them() -> None:
    first, second = Held(version="first"), Held(version="second")
    second.let_go.release(2)
    batcher, collected = started(first, "a", "b", "c", "d")
    first.wait_for(2)
    batcher.swap(second, max_batch_tokens=1)
    first.let_go.release(2)
    assert batcher.stop(DEADLINE_S)
    assert {result.item: result.model for result in collected.results} == {
        0: "first",
        1: "first",
        2: "second",
        3: "second",
    }


def test_a_model_with_fewer_lanes_that_is_swapped_in_runs_no_more_batches_at_a_time() -> None:
    first, second = Held(version="first"), Held(version="second")
    second.lanes = 1
    batcher, collected = started(first, "a", "b", "c", "d", "e")
    first.wait_for(2)
    batcher.swap(second, max_batch_tokens=1)
    first.let_go.release(2)
    second.wait_for(1)
    assert not second.begun.acquire(timeout=0.2)
    second.let_go.release(3)
    assert batcher.stop(DEADLINE_S)
    assert sorted(result.item for result in collected.results) == [0, 1, 2, 3, 4]


def test_a_text_that_is_not_tokenised_has_no_lane_of_its_own() -> None:
    """The text that tells whose fault it is runs on the model as well."""

    class Refusing(Held):
        lanes = 1

        def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
            if "refused" in texts:
                raise ValueError("no tokens in it")
            return super().tokenize(texts)

    first, second = Held(version="first"), Refusing(version="second")
    batcher, collected = started(first, "a", "b")
    first.wait_for(2)
    batcher.swap(second, max_batch_tokens=1)
    first.let_go.release(2)
    batcher.submit([(2, "c")])
    second.wait_for(1)
    batcher.submit([(3, "refused")])
    assert not second.begun.acquire(timeout=0.2)
    second.let_go.release(2)
    assert batcher.stop(DEADLINE_S)
    assert {result.item: result.error for result in collected.results} == {
        0: "",
        1: "",
        2: "",
        3: "ValueError: no tokens in it",
    }


def test_once_the_model_is_broken_no_lane_delivers() -> None:
    predictor = Held()
    batcher, collected = started(predictor, "good", "bad", "later")
    assert collected.told.wait(DEADLINE_S)
    predictor.let_go.release(3)
    assert batcher.stop(DEADLINE_S)
    assert [str(error) for error in collected.errors] == ["the device is gone"]
    assert collected.results == []


def test_two_batches_under_way_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1.0
    monkeypatch.setattr("models.results.time.monotonic", lambda: now)
    tally = Tally()
    started, first = tally.begin()
    now = 2.0
    _, second = tally.begin()
    now = 4.0
    assert tally.end(first) == 2.0  # one second alone, two shared
    now = 7.0
    assert tally.end(second) == 4.0
    now = 100.0
    assert (started, tally.begin()[0]) == (1.0, 100.0)
    assert tally.statistics(waiting=0, cost=None).busy_s == 6.0


def test_batches_under_way_share_the_threads() -> None:
    before = torch.get_num_threads()
    try:
        four = Cores(4)
        seen = []
        for _ in range(2):
            with four.share():
                seen.append(torch.get_num_threads())
                with four.share():
                    seen.append(torch.get_num_threads())
                    with four.share():
                        seen.append(torch.get_num_threads())
        assert seen == [4, 2, 1, 4, 2, 1]
        with four.share(alone=True):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_pass_waits_for_the_interpreter_less_than_an_operation_takes() -> None:
    assert sys.getswitchinterval() == pytest.approx(0.0001)


@pytest.mark.parametrize(("allowed", "threads"), [(1, 1), (2, 2), (3, 2), (8, 7), (64, 8)])
def test_zero_threads_leave_a_core_free_where_there_are_three(monkeypatch, allowed, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)
    monkeypatch.setattr(cores.torch, "set_num_threads", lambda _: None)
    assert Cores().threads == threads


@pytest.mark.parametrize(
    "precision", ["fp32", "bf16", "int8"] if multiplies_int8() else ["fp32", "bf16"]
)
def test_passes_beside_each_other_answer_as_each_does_alone(tiny_checkpoint, precision) -> None:
    predictor = load_predictor(tiny_checkpoint, device="cpu", precision=precision, threads=2)
    predictor.warm_up()
    assert predictor.lanes == 2
    batches = [
        predictor.tokenize([f"text {batch} {'word ' * (place % 9)}" for place in range(12)])
        for batch in range(6)
    ]
    alone = [predictor.predict(batch) for batch in batches]
    with ThreadPoolExecutor(2) as lanes:
        for _ in range(5):
            beside = list(lanes.map(predictor.predict, batches))
            for one, other in zip(alone, beside, strict=True):
                for ours, theirs in zip(one, other, strict=True):
                    for name, answer in ours.items():
                        assert theirs[name].scores == pytest.approx(answer.scores, abs=1e-5)


@pytest.mark.parametrize(("precision", "little_on"), [("bf16", 1), ("fp32", 2)])
def test_a_little_batch_that_rounds_runs_on_one_core(
    tiny_checkpoint, monkeypatch: pytest.MonkeyPatch, precision: str, little_on: int
) -> None:
    predictor = load_predictor(tiny_checkpoint, device="cpu", precision=precision, threads=2)
    tokens = predictor.tokenize(["one short text"])
    monkeypatch.setattr("models.predictor.LITTLE_WORK", sum(map(len, tokens)) * predictor.hidden**2)
    pool, threads = predictor._pool, []

    def watched(batch: Sequence[Sequence[int]]) -> torch.Tensor:
        threads.append(torch.get_num_threads())
        return pool(batch)

    predictor._pool = watched
    before = torch.get_num_threads()
    try:
        for batch in (tokens, tokens * 2, tokens):
            predictor.predict(batch)
    finally:
        torch.set_num_threads(before)
    assert threads == [little_on, 2, little_on]
