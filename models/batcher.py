"""The model thread: texts queue while the device is busy and leave it in batches, with results.

There is no fixed wait: a batch is cut from whatever queued during the last forward pass, so a
quiet stream pays nothing and a busy one fills its batches. models.window says which texts are
next, models.cost how large a batch should be.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from models.cost import CostModel
from models.results import Result, Statistics
from models.shadow import Shadow
from models.spec import BatchInfo, ModelError, OutOfMemoryError, Predictor
from models.window import CHARS_A_TOKEN, Arrivals, Waiting, Window

T = TypeVar("T")

# A text waits for the batch under way and its own, so this bounds what a busy model adds to p50.
TARGET_S = 0.5
# Texts of like length are found among this many batches, and as much is tokenised ahead.
WINDOW_BATCHES = 4
# However long a flood has lasted, its texts are due so much later at most: none waits for ever.
LATEST_TURN_S = 60.0
PROBE_TEXT = "The model answers this."

logger = logging.getLogger(__name__)


class Batcher(Generic[T]):
    """Feeds one predictor from one thread of its own.

    max_batch_tokens bounds a batch; how far it is used is learnt. kind_of tells an item's kind of
    source, which picks the calibration of its answers and has its turn beside other kinds, and
    patience_of the seconds that it may wait while others are run first. deliver receives the
    results of each batch on the model thread, in order of arrival. broken is called once, also
    there, when the model itself can't go on: nothing is delivered after it, and whoever owns the
    texts must not count them as done.
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
        self._predictor = predictor
        self._max_batch_tokens = max_batch_tokens
        self._kind_of = kind_of
        self._patience_of = patience_of
        self._deliver = deliver
        self._broken = broken
        self._arrivals: Arrivals[T] = Arrivals()
        self._arrived = threading.Condition()
        self._window: Window[T] = Window()
        self._costs = CostModel()
        self._ahead: list[Waiting[T]] = []
        self._encoding: Future[list[list[int]]] | None = None
        self._stopping = False
        self._next: tuple[Predictor, int] | None = None
        self.shadow: Shadow[T] | None = None
        """A challenger beside the predictor; may be set and cleared from any thread."""
        self._next_turn: dict[str, float] = {}
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
                due = self._turn_of(item, text, now) + self._patience_of(item)
                self._arrivals.add(Waiting(item, text, now, due, self._count))
                self._count += 1
            self._arrived.notify()

    def _turn_of(self, item: T, text: str, now: float) -> float:
        """When the text would be run if each kind had an equal share of the device.

        So a flood of one kind is due over the time that it takes, and of another kind whatever
        asks for less than its share is due before most of it.
        """
        kind = self._kind_of(item)
        turn = min(max(now, self._next_turn.get(kind, now)), now + LATEST_TURN_S)
        took_s = self._costs.text_seconds(len(text) // CHARS_A_TOKEN)
        self._next_turn[kind] = turn + took_s * max(1, len(self._next_turn))
        return turn

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
            waiting=len(self._arrivals) + len(self._ahead) + len(self._window),
            cost=self._costs.cost,
        )

    def _run(self) -> None:
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="tokenizer") as tokenizer:
                while self._top_up():
                    self._swap_if_asked()
                    limit, limited_by = self._costs.limit(self._max_batch_tokens, TARGET_S)
                    batch, ended_by = self._window.take(limit, pads=self._predictor.pads)
                    self._tokenize_ahead(tokenizer)
                    self._score(batch, limited_by if ended_by == "full" else ended_by)
                    if shadow := self.shadow:
                        shadow.catch_up(self._idle, self._busy_s)
        except BaseException as error:  # noqa: BLE001 - whatever it is, even a library's SystemExit
            # Those who wait must hear of it: it would end this thread alone.
            ended = ModelError(f"the model thread was ended by {error!r}")
            self._broken(error if isinstance(error, Exception) else ended)

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

    def _tokenize_ahead(self, tokenizer: ThreadPoolExecutor) -> None:
        """Let another thread tokenise what the window has room for, during the forward pass."""
        with self._arrived:
            self._ahead = self._leave_queue()
        if self._ahead:
            texts = [entry.text for entry in self._ahead]
            self._encoding = tokenizer.submit(self._predictor.tokenize, texts)

    def _leave_queue(self) -> list[Waiting[T]]:
        """What the window has room for. To be called with the lock held."""
        return self._arrivals.take(WINDOW_BATCHES * self._max_batch_tokens - self._window.tokens)

    def _idle(self) -> bool:
        with self._arrived:
            asked = self._stopping or self._next or self._ahead
            return not (asked or len(self._arrivals) or len(self._window))

    def _swap_if_asked(self) -> None:
        with self._arrived:
            if self._next is None:
                return
            self._predictor, self._max_batch_tokens = self._next
            self._next = None
        self._costs = CostModel()
        # Another encoder may cut its tokens elsewhere; a window is tokenised in milliseconds.
        self._tokenize(self._window.clear())

    def _tokenize(self, fresh: list[Waiting[T]]) -> None:
        if fresh:
            self._enter(fresh, lambda: self._predictor.tokenize([entry.text for entry in fresh]))

    def _enter(self, fresh: list[Waiting[T]], encode: Callable[[], list[list[int]]]) -> None:
        try:
            encoded = encode()
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
            self._window.add(entry)

    def _score(self, batch: list[Waiting[T]], released_by: str) -> None:
        if not batch:
            return
        started = time.monotonic()
        kinds = [self._kind_of(entry.item) for entry in batch]
        try:
            if shadow := self.shadow:
                answers = shadow.predict(self._predictor, batch, kinds)
            else:
                answers = self._predictor.predict([entry.tokens for entry in batch], kinds)
        except Exception as error:  # noqa: BLE001 - find the text at fault, if it is a text
            self._busy_s += time.monotonic() - started
            self._recover(batch, error)
            return
        took_s = time.monotonic() - started
        lengths = [len(entry.tokens) for entry in batch]
        tokens = sum(lengths)
        computed = len(batch) * max(lengths) if self._predictor.pads else tokens
        self._costs.observe(computed, len(batch), took_s)
        self._busy_s += took_s
        self._texts += len(batch)
        self._batches += 1
        self._tokens += tokens
        self._padded_tokens += computed
        results = [
            Result(
                item=entry.item,
                scores=scores,
                error="",
                model=self._predictor.version,
                batch=BatchInfo(
                    size=len(batch),
                    tokens=tokens,
                    waited_ms=round((started - entry.queued_at) * 1000, 3),
                    released_by=released_by,
                    padding=computed - tokens,
                ),
            )
            for entry, scores in sorted(
                zip(batch, answers, strict=True), key=lambda pair: pair[0].arrival
            )
        ]
        self._deliver(results)

    def _recover(self, batch: list[Waiting[T]], error: Exception) -> None:
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

    def _blame(self, entry: Waiting[T], error: Exception, *, released_by: str) -> None:
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
