"""The batcher answers every text exactly once, whatever the model does."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Sequence

import pytest

from models.batcher import PROBE_TEXT, Batcher
from models.results import Result
from models.spec import DEFAULT_HEADS, HeadScore, ModelError, OutOfMemoryError, Predictor, Scores
from models.window import LATEST_TURN_S

DEADLINE_S = 10.0


class ScriptedPredictor:
    """A token a word; fails as told, and can be held until the test lets it go."""

    version = "scripted"
    heads = DEFAULT_HEADS
    description = "scripted"
    batch_tokens = 64
    max_tokens = 64
    lanes = 1

    def __init__(
        self, *, poison: str = "", most: int = 1_000, broken: bool = False, pads: bool = True
    ) -> None:
        self.pads = pads
        self.poison = poison
        self.most = most
        self.broken = broken
        self.batches: list[list[int]] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.running = threading.Event()
        self.tokenized_beside = False
        self._words: list[str] = []

    def warm_up(self) -> None: ...

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        if any("untokenizable" in text for text in texts):
            raise ValueError("no tokens in it")
        self.tokenized_beside |= threading.current_thread().name.startswith("tokenizer")
        return [[self._token(word) for word in text.split()] for text in texts]

    def _token(self, word: str) -> int:
        if word not in self._words:
            self._words.append(word)
        return self._words.index(word)

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        self.running.set()
        assert self.may_run.wait(DEADLINE_S)
        if self.broken:
            raise RuntimeError("the device is gone")
        if len(tokens) > self.most:
            raise OutOfMemoryError(f"{len(tokens)} texts")
        if self.poison and any(self._words.index(self.poison) in row for row in tokens):
            raise ValueError("poison")
        self.batches.append([len(row) for row in tokens])
        return [
            {"length": HeadScore(str(len(row)), 1.0, {str(len(row)): 1.0}, abstained=False)}
            for row in tokens
        ]

    def predict_beside(
        self,
        tokens: Sequence[list[int]],
        kinds: Sequence[str],
        other: Predictor,
        rows: Sequence[int],
    ) -> tuple[list[Scores], list[Scores] | None]:
        return self.predict(tokens, kinds), None


class Collector:
    def __init__(self, expected: int) -> None:
        self.results: list[Result[int]] = []
        self.error: Exception | None = None
        self._expected = expected
        self._complete = threading.Event()

    def deliver(self, results: list[Result[int]]) -> None:
        self.results.extend(results)
        if len(self.results) >= self._expected:
            self._complete.set()

    def broken(self, error: Exception) -> None:
        self.error = error
        self._complete.set()

    def wait(self) -> None:
        assert self._complete.wait(DEADLINE_S), f"only {len(self.results)} results"


def run(
    predictor: ScriptedPredictor, texts: Sequence[str], *, max_batch_tokens: int = 64
) -> Collector:
    collector = Collector(len(texts))
    batcher: Batcher[int] = Batcher(
        predictor,
        max_batch_tokens=max_batch_tokens,
        deliver=collector.deliver,
        broken=collector.broken,
    )
    batcher.submit(list(enumerate(texts)))
    batcher.start()
    collector.wait()
    assert batcher.stop(DEADLINE_S)
    return collector


def test_every_text_gets_the_answer_computed_from_its_own_tokens() -> None:
    texts = [" ".join(["word"] * (1 + place % 17)) for place in range(200)]
    collector = run(ScriptedPredictor(), texts)
    assert sorted(result.item for result in collector.results) == list(range(200))
    for result in collector.results:
        assert result.scores is not None
        assert result.scores["length"].label == str(1 + result.item % 17)
        assert result.model == "scripted"


def test_no_batch_exceeds_the_padded_token_budget() -> None:
    predictor = ScriptedPredictor()
    run(predictor, [" ".join(["word"] * (1 + place % 30)) for place in range(300)])
    assert max(len(batch) * max(batch) for batch in predictor.batches) <= 64


def test_a_text_longer_than_the_budget_rides_alone() -> None:
    predictor = ScriptedPredictor()
    run(predictor, ["a " * 100, "b", "c"])
    assert [100] in predictor.batches


def test_a_batch_forms_from_what_queued_while_the_device_was_busy() -> None:
    predictor = ScriptedPredictor()
    predictor.may_run.clear()
    collector = Collector(6)
    batcher: Batcher[int] = Batcher(
        predictor, max_batch_tokens=64, deliver=collector.deliver, broken=collector.broken
    )
    batcher.start()
    batcher.submit([(0, "first")])
    assert predictor.running.wait(DEADLINE_S)
    for item in range(1, 6):
        batcher.submit([(item, "later")])
    predictor.may_run.set()
    collector.wait()
    batcher.stop(DEADLINE_S)
    assert [len(batch) for batch in predictor.batches] == [1, 5]
    assert {result.batch.released_by for result in collector.results} == {"idle"}


def test_an_out_of_memory_batch_is_halved_until_it_fits() -> None:
    predictor = ScriptedPredictor(most=3)
    collector = run(predictor, ["same length"] * 16)
    assert len(collector.results) == 16
    assert all(result.scores is not None for result in collector.results)
    assert max(len(batch) for batch in predictor.batches) <= 3
    assert {result.batch.released_by for result in collector.results} == {"out-of-memory"}


def test_the_halves_have_the_room_of_the_pass_that_failed() -> None:
    class Computed:
        pass

    class Filling(ScriptedPredictor):
        def __init__(self) -> None:
            super().__init__(most=1)
            self.computed: list[weakref.ref[Computed]] = []
            self.held: list[int] = []

        def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
            self.held.append(sum(one() is not None for one in self.computed))
            computed = Computed()
            self.computed.append(weakref.ref(computed))
            return super().predict(tokens, kinds)

    predictor = Filling()
    run(predictor, ["same length"] * 4)
    assert predictor.held == [0] * 7


def test_one_bad_row_fails_alone_and_says_why() -> None:
    texts = ["fine words here"] * 9 + ["poison words here"] + ["fine words here"] * 9
    collector = run(ScriptedPredictor(poison="poison"), texts)
    failed = [result for result in collector.results if result.scores is None]
    assert [result.item for result in failed] == [9]
    assert "poison" in failed[0].error
    assert len(collector.results) == 19


def test_a_text_the_tokenizer_refuses_fails_alone() -> None:
    collector = run(ScriptedPredictor(), ["one", "untokenizable", "three"])
    failed = {result.item for result in collector.results if result.scores is None}
    assert failed == {1}
    assert len(collector.results) == 3


def test_a_broken_model_is_reported_and_blames_no_text() -> None:
    collector = run(ScriptedPredictor(broken=True), ["one", "two", PROBE_TEXT])
    assert str(collector.error) == "the device is gone"
    assert collector.results == []


def test_a_model_thread_that_a_library_ends_is_reported_too() -> None:
    class Leaving(ScriptedPredictor):
        def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
            del tokens, kinds
            raise SystemExit("the driver was unloaded")

    collector = run(Leaving(), ["one", "two"])
    assert "ended by SystemExit('the driver was unloaded')" in str(collector.error)
    assert collector.results == []


def test_results_of_a_batch_come_in_order_of_arrival() -> None:
    collector = run(ScriptedPredictor(), ["a b c", "a", "a b", "a b c d"])
    assert [result.item for result in collector.results] == [0, 1, 2, 3]


def test_stop_finishes_what_is_queued_and_then_refuses_more() -> None:
    collector = Collector(50)
    batcher: Batcher[int] = Batcher(
        ScriptedPredictor(),
        max_batch_tokens=8,
        deliver=collector.deliver,
        broken=collector.broken,
    )
    batcher.submit([(item, "two words") for item in range(50)])
    batcher.start()
    assert batcher.stop(DEADLINE_S)
    assert len(collector.results) == 50
    with pytest.raises(ModelError, match="stopped"):
        batcher.submit([(50, "late")])


def test_statistics_count_texts_batches_and_padding() -> None:
    collector = Collector(2)
    batcher: Batcher[int] = Batcher(
        ScriptedPredictor(),
        max_batch_tokens=64,
        deliver=collector.deliver,
        broken=collector.broken,
    )
    batcher.submit([(0, "a b c"), (1, "a")])
    batcher.start()
    collector.wait()
    batcher.stop(DEADLINE_S)
    statistics = batcher.statistics()
    assert (statistics.texts, statistics.batches) == (2, 1)
    assert (statistics.tokens, statistics.padded_tokens) == (4, 6)
    assert statistics.waiting == 0


def test_without_padding_the_budget_counts_the_texts_own_tokens() -> None:
    predictor = ScriptedPredictor(pads=False)
    collector = run(predictor, ["a " * 40, "b", "c", "d", "e " * 20])
    assert predictor.batches == [[40, 1, 1, 1, 20]]
    assert {result.batch.padding for result in collector.results} == {0}
    assert {result.batch.tokens for result in collector.results} == {63}


def test_padding_is_told_where_there_is_some() -> None:
    collector = run(ScriptedPredictor(), ["a b c", "a"])
    (batch,) = {result.batch for result in collector.results}
    assert (batch.size, batch.tokens, batch.padding, batch.released_by) == (2, 4, 2, "idle")


def test_the_urgent_are_run_before_the_patient_that_came_first() -> None:
    predictor = ScriptedPredictor(pads=False)
    predictor.may_run.clear()
    collector = Collector(5)
    batcher: Batcher[int] = Batcher(
        predictor,
        max_batch_tokens=2,
        patience_of=lambda item: 60.0 if item < 3 else 0.0,
        deliver=collector.deliver,
        broken=collector.broken,
    )
    batcher.submit([(item, "two words") for item in range(5)])
    batcher.start()
    predictor.may_run.set()
    collector.wait()
    assert batcher.stop(DEADLINE_S)
    assert [result.item for result in collector.results] == [3, 4, 0, 1, 2]


def test_a_flood_of_one_kind_holds_up_no_text_of_another() -> None:
    collector = Collector(402)
    batcher: Batcher[int] = Batcher(
        ScriptedPredictor(pads=False),
        max_batch_tokens=8,
        kind_of=lambda item: "ticket" if item >= 400 else "social",
        deliver=collector.deliver,
        broken=collector.broken,
    )
    batcher.submit([(item, "more posts than the model can take") for item in range(400)])
    batcher.submit([(item, "a ticket") for item in (400, 401)])
    batcher.start()
    collector.wait()
    assert batcher.stop(DEADLINE_S)
    order = [result.item for result in collector.results]
    assert max(order.index(400), order.index(401)) < 200
    assert [item for item in order if item < 400] == list(range(400))


def test_the_last_of_a_flood_is_due_within_a_minute_of_its_turn() -> None:
    predictor = ScriptedPredictor()
    predictor.max_tokens = 10_000
    batcher: Batcher[int] = Batcher(
        predictor,
        max_batch_tokens=8,
        kind_of=lambda item: "news" if item else "social",
        deliver=lambda _results: None,
        broken=lambda _error: None,
    )
    batcher.submit([(0, "word " * 4_000)] * 300)
    batcher.submit([(1, "a word")])
    entries = batcher._arrivals.take(10**9, 10_000)
    first = entries[0].queued_at
    assert max(entry.due for entry in entries) - first <= LATEST_TURN_S + 1
    assert [entry.item for entry in entries[:2]] == [0, 1]


def test_texts_are_tokenised_while_the_model_is_busy() -> None:
    predictor = ScriptedPredictor(pads=False)
    predictor.may_run.clear()
    collector = Collector(40)
    batcher: Batcher[int] = Batcher(
        predictor, max_batch_tokens=4, deliver=collector.deliver, broken=collector.broken
    )
    batcher.submit([(item, f"word{item} of{item}") for item in range(40)])
    batcher.start()
    assert predictor.running.wait(DEADLINE_S)
    deadline = time.monotonic() + DEADLINE_S
    # Window: 4 batches of 2 texts (some more, as sizes are guessed); ahead: what one batch left.
    while not predictor.tokenized_beside and time.monotonic() < deadline:
        threading.Event().wait(0.001)
    predictor.may_run.set()
    collector.wait()
    assert batcher.stop(DEADLINE_S)
    assert predictor.tokenized_beside
    assert sorted(result.item for result in collector.results) == list(range(40))


def test_what_is_cut_off_of_long_texts_takes_no_room_in_a_batch() -> None:
    """Counted whole, one of these filled the window: a batch of one, while others waited."""
    predictor = ScriptedPredictor(pads=False)
    predictor.max_tokens = 4
    collector = run(predictor, ["long" * 1_000] * 64, max_batch_tokens=16)
    assert {result.batch.size for result in collector.results} == {16}


def test_a_text_refused_while_tokenising_ahead_fails_alone() -> None:
    texts = ["two words"] * 40
    texts[30] = "untokenizable"
    collector = run(ScriptedPredictor(pads=False), texts, max_batch_tokens=4)
    assert [result.item for result in collector.results if result.scores is None] == [30]
    assert sorted(result.item for result in collector.results) == list(range(40))


def test_learnt_sizes_stay_within_the_budget() -> None:
    collector = run(ScriptedPredictor(pads=False), ["two words"] * 400, max_batch_tokens=64)
    reasons = {result.batch.released_by for result in collector.results}
    assert reasons <= {"budget", "efficiency", "latency", "idle"}
    assert max(result.batch.tokens for result in collector.results) <= 64
