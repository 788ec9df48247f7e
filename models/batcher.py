"""What to run next: texts queue while the device is busy and leave it in length-matched batches.

There is no fixed wait: a batch is cut from whatever queued during the last forward pass, so a
quiet stream pays nothing and a busy one fills its batches. Texts are compared by length only
inside a first-in window of a few batches, and each batch is built around the oldest text of the
window: padding stays small and nothing starves.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from models.spec import BatchInfo, ModelError, OutOfMemoryError, Predictor, Scores
from models.window import cut_batch

T = TypeVar("T")

WINDOW_BATCHES = 4
PROBE_TEXT = "The model answers this."

logger = logging.getLogger(__name__)


class Result(msgspec.Struct, Generic[T], frozen=True):
    """One text's outcome: scores, or the error that is this text's own fault."""

    item: T
    scores: Scores | None
    error: str
    model: str
    batch: BatchInfo


class Statistics(msgspec.Struct, frozen=True):
    """Totals since the start, and what waits now. tokens are real, padded_tokens computed."""

    texts: int
    failed: int
    batches: int
    tokens: int
    padded_tokens: int
    halved: int
    busy_s: float
    waiting: int


class _Waiting(msgspec.Struct, Generic[T]):
    item: T
    text: str
    queued_at: float
    arrival: int
    tokens: list[int] = []


class Batcher(Generic[T]):
    """Feeds one predictor from one thread of its own.

    kind_of tells an item's kind of source, which picks the calibration of its answers. deliver
    receives the results of each batch on the model thread, in order of arrival. broken is called
    once, also there, when the model itself can't go on: nothing is delivered after it, and whoever
    owns the texts must not count them as done.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        max_batch_tokens: int,
        kind_of: Callable[[T], str] = lambda _item: "",
        deliver: Callable[[list[Result[T]]], None],
        broken: Callable[[Exception], None],
    ) -> None:
        self._predictor = predictor
        self._max_batch_tokens = max_batch_tokens
        self._kind_of = kind_of
        self._deliver = deliver
        self._broken = broken
        self._arrivals: deque[_Waiting[T]] = deque()
        self._arrived = threading.Condition()
        self._window: list[_Waiting[T]] = []
        self._window_tokens = 0
        self._stopping = False
        self._next: tuple[Predictor, int] | None = None
        self._count = 0
        self._texts = self._failed = self._batches = self._halved = 0
        self._tokens = self._padded_tokens = 0
        self._busy_s = 0.0
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, work: Sequence[tuple[T, str]]) -> None:
        """Queue (item, text) pairs. Safe from any thread; never blocks on the model."""
        now = time.monotonic()
        with self._arrived:
            if self._stopping:
                raise ModelError("the model thread has been stopped; no more texts are taken")
            for item, text in work:
                self._arrivals.append(_Waiting(item, text, now, self._count))
                self._count += 1
            self._arrived.notify()

    @property
    def predictor(self) -> Predictor:
        """The one that scores now."""
        return self._predictor

    def swap(self, predictor: Predictor, *, max_batch_tokens: int) -> None:
        """Score with another, warm predictor from the next batch on. Safe from any thread.

        Every text is scored by exactly one of the two, and its result names which.
        """
        with self._arrived:
            self._next = predictor, max_batch_tokens
            self._arrived.notify()

    def stop(self, timeout_s: float) -> bool:
        """Finish what is queued, then end the thread. False if it was still busy at the timeout."""
        with self._arrived:
            self._stopping = True
            self._arrived.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def statistics(self) -> Statistics:
        return Statistics(
            texts=self._texts,
            failed=self._failed,
            batches=self._batches,
            tokens=self._tokens,
            padded_tokens=self._padded_tokens,
            halved=self._halved,
            busy_s=self._busy_s,
            waiting=len(self._arrivals) + len(self._window),
        )

    def _run(self) -> None:
        try:
            while self._top_up():
                self._swap_if_asked()
                batch, released_by = self._take_batch()
                self._score(batch, released_by)
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            self._broken(error)

    def _top_up(self) -> bool:
        """Move arrivals into the window; wait only if there is nothing to do. False: finished."""
        with self._arrived:
            while not (self._arrivals or self._window or self._stopping or self._next):
                self._arrived.wait()
            room = WINDOW_BATCHES * self._max_batch_tokens - self._window_tokens
            fresh: list[_Waiting[T]] = []
            while self._arrivals and room > 0:
                entry = self._arrivals.popleft()
                fresh.append(entry)
                # The true count is known after tokenising; four characters a token is close
                # enough to bound how much is tokenised ahead.
                room -= 1 + len(entry.text) // 4
        if fresh:
            self._tokenize(fresh)
        return bool(self._window or self._arrivals) or not self._stopping

    def _swap_if_asked(self) -> None:
        with self._arrived:
            if self._next is None:
                return
            self._predictor, self._max_batch_tokens = self._next
            self._next = None
        # Another encoder may cut its tokens elsewhere; a window is tokenised in milliseconds.
        waiting, self._window, self._window_tokens = self._window, [], 0
        if waiting:
            self._tokenize(waiting)

    def _tokenize(self, fresh: list[_Waiting[T]]) -> None:
        try:
            encoded = self._predictor.tokenize([entry.text for entry in fresh])
        except Exception as error:  # noqa: BLE001 - one bad text must not fail its neighbours
            if len(fresh) > 1:
                middle = len(fresh) // 2
                self._tokenize(fresh[:middle])
                self._tokenize(fresh[middle:])
            else:
                self._blame(fresh[0], error, released_by="tokenizer")
            return
        for entry, tokens in zip(fresh, encoded, strict=True):
            entry.tokens = tokens
            insort(self._window, entry, key=_length)
            self._window_tokens += len(tokens)

    def _take_batch(self) -> tuple[list[_Waiting[T]], str]:
        if not self._window:
            return [], "empty"
        oldest = min(range(len(self._window)), key=lambda at: self._window[at].arrival)
        low, high, released_by = cut_batch(
            [len(entry.tokens) for entry in self._window], oldest, self._max_batch_tokens
        )
        batch = self._window[low:high]
        del self._window[low:high]
        self._window_tokens -= sum(len(entry.tokens) for entry in batch)
        return batch, released_by

    def _score(self, batch: list[_Waiting[T]], released_by: str) -> None:
        if not batch:
            return
        started = time.monotonic()
        try:
            answers = self._predictor.predict(
                [entry.tokens for entry in batch], [self._kind_of(entry.item) for entry in batch]
            )
        except Exception as error:  # noqa: BLE001 - find the text at fault, if it is a text
            self._busy_s += time.monotonic() - started
            self._recover(batch, error)
            return
        self._busy_s += time.monotonic() - started
        padded = len(batch) * max(len(entry.tokens) for entry in batch)
        self._texts += len(batch)
        self._batches += 1
        self._tokens += sum(len(entry.tokens) for entry in batch)
        self._padded_tokens += padded
        results = [
            Result(
                item=entry.item,
                scores=scores,
                error="",
                model=self._predictor.version,
                batch=BatchInfo(
                    size=len(batch),
                    tokens=padded,
                    waited_ms=round((started - entry.queued_at) * 1000, 3),
                    released_by=released_by,
                ),
            )
            for entry, scores in sorted(
                zip(batch, answers, strict=True), key=lambda pair: pair[0].arrival
            )
        ]
        self._deliver(results)

    def _recover(self, batch: list[_Waiting[T]], error: Exception) -> None:
        """Halve a batch that failed until it fits, or until the one text at fault stands alone."""
        if len(batch) > 1:
            self._halved += 1
            logger.warning(
                "a batch of %d texts failed (%s: %s); trying its halves",
                len(batch),
                type(error).__name__,
                error,
            )
            released_by = "out-of-memory" if isinstance(error, OutOfMemoryError) else "bisection"
            middle = len(batch) // 2
            self._score(batch[:middle], released_by)
            self._score(batch[middle:], released_by)
            return
        self._blame(batch[0], error, released_by="bisection")

    def _blame(self, entry: _Waiting[T], error: Exception, *, released_by: str) -> None:
        # A lone text fails either because of itself or because the model is broken. A text known
        # to be good tells the two apart: a broken model must stop the worker, not empty the
        # topics into the dead letters.
        self._predictor.predict(self._predictor.tokenize([PROBE_TEXT]))
        self._failed += 1
        waited_ms = round((time.monotonic() - entry.queued_at) * 1000, 3)
        self._deliver(
            [
                Result(
                    item=entry.item,
                    scores=None,
                    error=f"{type(error).__name__}: {error}",
                    model=self._predictor.version,
                    batch=BatchInfo(
                        size=1,
                        tokens=len(entry.tokens),
                        waited_ms=waited_ms,
                        released_by=released_by,
                    ),
                )
            ]
        )


def _length(entry: _Waiting[T]) -> int:
    return len(entry.tokens)
