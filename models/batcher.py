"""The model threads: texts queue while the device is busy and leave it in batches, with results.

There is no fixed wait: a batch is cut from whatever queued during the last forward pass, so a
quiet stream pays nothing and a busy one fills its batches. models.window says which texts are
next, models.cost how large a batch should be. As many batches are under way at a time as the
predictor has lanes: what one of them leaves idle of a CPU, another takes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from models.cost import CostModel
from models.results import Result, Statistics, Tally
from models.shadow import Shadow
from models.spec import BatchInfo, ModelError, OutOfMemoryError, Predictor
from models.window import Arrivals, Turns, Waiting, Window, tokens_about

T = TypeVar("T")

# A text waits for the batch under way and its own, so this bounds what a busy model adds to p50.
TARGET_S = 0.5
# Texts of like length are found among this many batches, and as much is tokenised ahead.
WINDOW_BATCHES = 4
PROBE_TEXT = "The model answers this."

logger = logging.getLogger(__name__)


class _Model:
    """What scores, and what its batches may hold and have cost."""

    def __init__(self, predictor: Predictor, max_batch_tokens: int) -> None:
        self.predictor = predictor
        self.max_batch_tokens = max_batch_tokens
        self.costs = CostModel()
        # One that is swapped in may have fewer of them than there are threads.
        self.lanes = threading.Semaphore(predictor.lanes)


class Batcher(Generic[T]):
    """Feeds one predictor from threads of its own, one for each of its lanes.

    max_batch_tokens bounds a batch; how far it is used is learnt. kind_of tells an item's kind of
    source, which picks the calibration of its answers and has its turn beside other kinds, and
    patience_of the seconds that it may wait while others are run first. deliver receives the
    results of each batch on a model thread, one batch at a time and in it in order of arrival.
    broken is called once, also there, when the model itself can't go on: nothing is delivered
    after it, and whoever owns the texts must not count them as done.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        max_batch_tokens: int,
        kind_of: Callable[[T], str] = lambda _item: "",
        patience_of: Callable[[T], float] = lambda _item: 0.0,
        deliver: Callable[[list[Result[T]]], None],
        broken: Callable[[Exception], None],
    ) -> None:
        self._model = _Model(predictor, max_batch_tokens)
        self._next: _Model | None = None
        self._kind_of = kind_of
        self._patience_of = patience_of
        self._deliver = deliver
        self._broken = broken
        self._arrivals: Arrivals[T] = Arrivals()
        self._arrived = threading.Condition()
        # One lane at a time cuts a batch from the window, and one delivers.
        self._cutting = threading.Lock()
        self._delivering = threading.Lock()
        self._window: Window[T] = Window()
        self._ahead: list[Waiting[T]] = []
        self._encoding: Future[list[list[int]]] | None = None
        self._tokenizer = ThreadPoolExecutor(1, thread_name_prefix="tokenizer")
        self._stopping = self._ended = False
        self.shadow: Shadow[T] | None = None
        """A challenger beside the predictor; may be set and cleared from any thread."""
        self._turns, self._tally = Turns(), Tally()
        self._count = 0
        self._threads = [
            threading.Thread(target=self._run, name=f"model-{lane}", daemon=True)
            for lane in range(predictor.lanes)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, work: Sequence[tuple[T, str]]) -> None:
        """Queue (item, text) pairs. Safe from any thread; never blocks on the model."""
        now, model = time.monotonic(), self._model
        with self._arrived:
            if self._stopping:
                raise ModelError("the model thread has been stopped; no more texts are taken")
            for item, text in work:
                kind, patience_s = self._kind_of(item), self._patience_of(item)
                takes_s = model.costs.text_seconds(tokens_about(text, model.predictor.max_tokens))
                due = self._turns.next(kind, now, takes_s) + patience_s
                self._arrivals.add(Waiting(item, text, now, due, self._count))
                self._count += 1
            self._arrived.notify()

    def swap(self, predictor: Predictor, *, max_batch_tokens: int) -> None:
        """Score with another, warm predictor from the next batch on. Safe from any thread.

        Every text is scored by exactly one of the two, and its result names which.
        """
        with self._arrived:
            self._next = _Model(predictor, max_batch_tokens)
            self._arrived.notify()

    def stop(self, timeout_s: float) -> bool:
        """Finish what is queued, then end the threads. False if one was busy at the timeout."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if stopped := not any(thread.is_alive() for thread in self._threads):
            self._tokenizer.shutdown(wait=False)
        return stopped

    def statistics(self) -> Statistics:
        return self._tally.statistics(
            waiting=len(self._arrivals) + len(self._ahead) + len(self._window),
            cost=self._model.costs.cost,
        )

    def _run(self) -> None:
        try:
            while self._run_next():
                pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, even a library's SystemExit
            # Those who wait must hear of it: it would end this thread alone.
            ended = ModelError(f"the model thread was ended by {error!r}")
            self._end(error if isinstance(error, Exception) else ended)

    def _run_next(self) -> bool:
        """Cut a batch and score it; False when no more will come."""
        # In a call of its own: a lane that waits for work keeps no replaced model alive.
        with self._cutting:
            if self._ended or not self._top_up():
                return False
            self._swap_if_asked()
            model = self._model
            target_s = TARGET_S / len(self._threads)  # each has the device to its share
            limit, limited_by = model.costs.limit(model.max_batch_tokens, target_s)
            batch, ended_by = self._window.take(limit, pads=model.predictor.pads)
            self._tokenize_ahead()
        with model.lanes:
            self._score(model, batch, limited_by if ended_by == "full" else ended_by)
        if shadow := self.shadow:
            shadow.catch_up(self._idle, self._tally.busy_s)
        return True

    def _end(self, error: Exception) -> None:
        with self._delivering:
            if not self._ended:
                self._ended = True
                self._broken(error)

    def _top_up(self) -> bool:
        """Move arrivals into the window; wait only if there is nothing to do. False: finished."""
        if self._encoding:
            ahead, self._ahead = self._ahead, []
            self._enter(ahead, self._encoding.result)
            self._encoding = None
        with self._arrived:
            while not (len(self._arrivals) or len(self._window) or self._stopping or self._next):
                self._arrived.wait()
            fresh = self._leave_queue()
        self._tokenize(fresh)
        return bool(len(self._window) or len(self._arrivals)) or not self._stopping

    def _tokenize_ahead(self) -> None:
        """Let another thread tokenise what the window has room for, during the forward pass."""
        with self._arrived:
            self._ahead = self._leave_queue()
        if self._ahead:
            texts = [entry.text for entry in self._ahead]
            self._encoding = self._tokenizer.submit(self._model.predictor.tokenize, texts)

    def _leave_queue(self) -> list[Waiting[T]]:
        """What the window has room for. To be called with the lock held."""
        room = WINDOW_BATCHES * self._model.max_batch_tokens - self._window.tokens
        return self._arrivals.take(room, self._model.predictor.max_tokens)

    def _idle(self) -> bool:
        with self._arrived:
            asked = self._stopping or self._next or self._ahead
            return not (asked or len(self._arrivals) or len(self._window))

    def _swap_if_asked(self) -> None:
        with self._arrived:
            if self._next is None:
                return
            self._model, self._next = self._next, None
        # Another encoder may cut its tokens elsewhere; a window is tokenised in milliseconds.
        self._tokenize(self._window.clear())

    def _tokenize(self, fresh: list[Waiting[T]]) -> None:
        if fresh:
            tokenize = self._model.predictor.tokenize
            self._enter(fresh, lambda: tokenize([entry.text for entry in fresh]))

    def _enter(self, fresh: list[Waiting[T]], encode: Callable[[], list[list[int]]]) -> None:
        try:
            encoded = encode()
        except Exception as error:  # noqa: BLE001 - one bad text must not fail its neighbours
            if len(fresh) > 1:
                middle = len(fresh) // 2
                self._tokenize(fresh[:middle])
                self._tokenize(fresh[middle:])
            else:
                failed = f"{type(error).__name__}: {error}"
                with self._model.lanes:  # _blame asks the model too
                    self._blame(self._model, fresh[0], failed, "tokenizer")
            return
        for entry, tokens in zip(fresh, encoded, strict=True):
            entry.tokens = tokens
            self._window.add(entry)

    def _score(self, model: _Model, batch: list[Waiting[T]], released_by: str) -> None:
        if not batch:
            return
        predictor = model.predictor
        kinds = [self._kind_of(entry.item) for entry in batch]
        started, since = self._tally.begin()
        failed = ""
        try:
            if shadow := self.shadow:
                answers = shadow.predict(predictor, batch, kinds)
            else:
                answers = predictor.predict([entry.tokens for entry in batch], kinds)
        except Exception as error:  # noqa: BLE001 - find the text at fault, if it is a text
            # Words alone: the error holds what the failed pass computed, and the halves need room.
            failed = f"{type(error).__name__}: {error}"
            by = "out-of-memory" if isinstance(error, OutOfMemoryError) else "bisection"
        device_s = self._tally.end(since)
        if failed:
            self._recover(model, batch, failed, by)
            return
        lengths = [len(entry.tokens) for entry in batch]
        tokens = sum(lengths)
        computed = len(batch) * max(lengths) if predictor.pads else tokens
        results = [
            Result(
                item=entry.item,
                scores=scores,
                error="",
                model=predictor.version,
                batch=BatchInfo(
                    len(batch), tokens, entry.waited_ms(started), released_by, computed - tokens
                ),
            )
            for entry, scores in sorted(
                zip(batch, answers, strict=True), key=lambda pair: pair[0].arrival
            )
        ]
        self._tally.scored(len(batch), tokens, computed)
        with self._delivering:
            model.costs.observe(computed, len(batch), device_s)
            if not self._ended:
                self._deliver(results)

    def _recover(self, model: _Model, batch: list[Waiting[T]], failed: str, by: str) -> None:
        """Halve a batch that failed until it fits, or until the one text at fault stands alone."""
        if len(batch) == 1:
            self._blame(model, batch[0], failed, "bisection")
            return
        self._tally.halved()
        logger.warning("a batch of %d texts failed (%s); trying its halves", len(batch), failed)
        middle = len(batch) // 2
        self._score(model, batch[:middle], by)
        self._score(model, batch[middle:], by)

    def _blame(self, model: _Model, entry: Waiting[T], failed: str, released_by: str) -> None:
        # Is the text at fault, or the model? One known to be good tells: a broken model must stop
        # the worker, not empty the topics into the dead letters.
        predictor = model.predictor
        predictor.predict(predictor.tokenize([PROBE_TEXT]))
        result = Result(
            item=entry.item,
            scores=None,
            error=failed,
            model=predictor.version,
            batch=BatchInfo(1, len(entry.tokens), entry.waited_ms(time.monotonic()), released_by),
        )
        self._tally.failed()
        with self._delivering:
            if not self._ended:
                self._deliver([result])
