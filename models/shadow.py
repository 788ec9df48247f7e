"""A challenger in shadow: it answers a share of the live texts too, and nobody acts on it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Generic, TypeVar

import msgspec

from models.spec import Predictor, Scores
from models.window import Waiting

T = TypeVar("T")

# A text that comes while the challenger runs alone waits for a pass of about this size: on two
# cores of a CPU 40 ms (see CPU_BATCH_TOKENS in models.predictor).
ALONE_TOKENS = 256
# Where the model is never idle, the challenger alone gets this share of the time all the same.
ALONE_SHARE = 0.02
# Texts that wait for a challenger alone; more push the oldest out.
WAITING = 512
HASH_BYTES = 4

logger = logging.getLogger(__name__)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """Two answers to one text, by the event's id and kind: only the champion's holds."""

    id: str
    kind: str
    champion: str
    said: Scores
    challenger: str
    would_say: Scores


class _Owed(msgspec.Struct, frozen=True):
    id: str
    text: str
    kind: str
    champion: str
    said: Scores


class Shadow(Generic[T]):
    """One challenger beside whoever is champion. All methods are the model threads'.

    share of the items that it reads, chosen by the hash of id_of, is answered: from the champion's
    vectors where both have one encoder, and else in passes of its own when the model has nothing
    else to do.
    deliver gets the answers on a model thread. A challenger that fails is given up with a line in
    the log; the champion does not notice.
    """

    def __init__(
        self,
        challenger: Predictor,
        *,
        share: float,
        id_of: Callable[[T], str],
        reads: Callable[[T], bool],
        deliver: Callable[[list[Answered]], None],
    ) -> None:
        self.challenger = challenger
        self.given_up = False
        self._chosen_below = int(share * 256**HASH_BYTES)
        self._id_of = id_of
        self._reads = reads
        self._deliver = deliver
        self._owed: deque[_Owed] = deque(maxlen=WAITING)
        self._alone_s = 0.0
        self._live_before_s: float | None = None
        self._alone = threading.Lock()

    def predict(
        self, champion: Predictor, batch: Sequence[Waiting[T]], kinds: Sequence[str]
    ) -> list[Scores]:
        """The champion's answers, as its own predict gives and raises; kinds are the batch's."""
        tokens = [entry.tokens for entry in batch]
        rows = [at for at, entry in enumerate(batch) if self._chosen(entry.item)]
        if self.given_up or not rows:
            return champion.predict(tokens, kinds)
        answers, beside = champion.predict_beside(tokens, kinds, self.challenger, rows)
        owed = [
            _Owed(self._id_of(one.item), one.text, kinds[at], champion.version, answers[at])
            for at, one in ((at, batch[at]) for at in rows)
        ]
        if beside is None:
            self._owed.extend(owed)
        else:
            self._answer(owed, beside)
        return answers

    def catch_up(self, idle: Callable[[], bool], live_s: float) -> None:
        """Run the challenger alone on what it owes, while idle() or within its share of live_s.

        live_s: seconds of all passes of the champion, those before this shadow began included.
        Returns at once where another lane does so: this one is free for the champion.
        """
        if not self._alone.acquire(blocking=False):
            return
        try:
            if self._live_before_s is None:
                self._live_before_s = live_s
            share_s = ALONE_SHARE * (live_s - self._live_before_s)
            while self._owed and (idle() or self._alone_s < share_s):
                begun = time.monotonic()
                try:
                    self._run_alone()
                except Exception:
                    logger.exception("challenger %s fails and is given up", self.challenger.version)
                    self.given_up = True
                    self._owed.clear()
                self._alone_s += time.monotonic() - begun
        finally:
            self._alone.release()

    def _run_alone(self) -> None:
        batch: list[_Owed] = []
        tokens: list[list[int]] = []
        while self._owed and sum(map(len, tokens)) < ALONE_TOKENS:
            batch.append(self._owed.popleft())
            tokens += self.challenger.tokenize([batch[-1].text])
        self._answer(batch, self.challenger.predict(tokens, [one.kind for one in batch]))

    def _answer(self, owed: Sequence[_Owed], answers: Sequence[Scores]) -> None:
        self._deliver(
            [
                Answered(
                    id=one.id,
                    kind=one.kind,
                    champion=one.champion,
                    said=one.said,
                    challenger=self.challenger.version,
                    would_say=answer,
                )
                for one, answer in zip(owed, answers, strict=True)
            ]
        )

    def _chosen(self, item: T) -> bool:
        digest = blake2b(self._id_of(item).encode(), digest_size=HASH_BYTES).digest()
        return int.from_bytes(digest) < self._chosen_below and self._reads(item)
