"""A deterministic predictor without torch, for tests and benches of everything around the model."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from models.spec import (
    DEFAULT_HEADS,
    Head,
    HeadScore,
    ModelError,
    OutOfMemoryError,
    Predictor,
    Scores,
)

MAX_TOKENS = 128
CONFIDENT = 0.9
DOUBTFUL = 0.4
DOUBT = "unsure"


class StubPredictor:
    """models.spec.Predictor whose answers are written in the text, so that a test can ask for them.

    A head answers with the first of its labels that occurs as a word of the text, else with one
    chosen by hash, at 0.9. A text with the word "unsure" gets 0.4 and abstains. The number of
    tokens is that of the words.

    fail_on: a batch with this word raises ModelError. max_texts: a larger batch raises
    OutOfMemoryError.
    """

    def __init__(
        self,
        *,
        heads: Sequence[Head] = DEFAULT_HEADS,
        version: str = "stub",
        batch_tokens: int = 1024,
        fail_on: str | None = None,
        max_texts: int | None = None,
    ) -> None:
        self._heads = tuple(heads)
        self._version = version
        self._batch_tokens = batch_tokens
        self._fail_on = None if fail_on is None else _token(fail_on)
        self._max_texts = max_texts
        self._labels = {
            head.name: {_token(label): label for label in head.labels} for head in self._heads
        }

    @property
    def version(self) -> str:
        return self._version

    @property
    def heads(self) -> tuple[Head, ...]:
        return self._heads

    @property
    def description(self) -> str:
        return f"{self._version}: answers by keyword, no model"

    @property
    def batch_tokens(self) -> int:
        return self._batch_tokens

    @property
    def max_tokens(self) -> int:
        return MAX_TOKENS

    @property
    def lanes(self) -> int:
        return 1

    @property
    def pads(self) -> bool:
        return False

    def warm_up(self) -> None:
        """Nothing to measure."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [[_token(word) for word in text.split()[:MAX_TOKENS]] for text in texts]

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        del kinds  # every answer is as sure as it says
        if self._max_texts is not None and len(tokens) > self._max_texts:
            raise OutOfMemoryError(f"the stub takes {self._max_texts} texts, not {len(tokens)}")
        if self._fail_on is not None and any(self._fail_on in row for row in tokens):
            raise ModelError("the stub was told to fail on a word of this batch")
        return [{head.name: self._answer(head, row) for head in self._heads} for row in tokens]

    def predict_beside(
        self,
        tokens: Sequence[list[int]],
        kinds: Sequence[str],
        other: Predictor,
        rows: Sequence[int],
    ) -> tuple[list[Scores], list[Scores] | None]:
        """There is no encoder that two stubs could share."""
        del other, rows
        return self.predict(tokens, kinds), None

    def _answer(self, head: Head, row: list[int]) -> HeadScore:
        named = [
            self._labels[head.name][token] for token in row if token in self._labels[head.name]
        ]
        label = named[0] if named else head.labels[sum(row) % len(head.labels)]
        confidence = DOUBTFUL if _token(DOUBT) in row else CONFIDENT
        others = (1.0 - confidence) / (len(head.labels) - 1)
        return HeadScore(
            label=label,
            confidence=confidence,
            scores={name: confidence if name == label else others for name in head.labels},
            abstained=confidence == DOUBTFUL,
        )


def _token(word: str) -> int:
    return crc32(word.strip(".,;:!?()\"'").lower().encode())
