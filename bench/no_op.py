"""A model that costs nothing, for what is around it."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from models.spec import Scores
from models.stub import MAX_TOKENS, StubPredictor

CHARS_A_TOKEN = 5
ANSWERS = 64


class NoOpPredictor(StubPredictor):
    """Answers are made beforehand; which one a text gets is chosen by its hash.

    The stub for tests reads each word, which took as long as all that the stream does to decode a
    record and to find its subjects.
    """

    def __init__(self) -> None:
        super().__init__()
        self._answers = super().predict([[number] for number in range(ANSWERS)])

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return [
            [crc32(text.encode())] * min(MAX_TOKENS, 1 + len(text) // CHARS_A_TOKEN)
            for text in texts
        ]

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        del kinds
        return [self._answers[row[0] % ANSWERS] for row in tokens]
