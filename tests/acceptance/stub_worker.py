"""python -m tests.acceptance.stub_worker: any command of bellwether, with a model without torch.

The model answers by keyword. Once the file named by STUB_MODEL_FAULT is there, it does what that
says: hang, freeze (and hold the interpreter), die, or out-of-memory (beyond four texts a batch).
It takes STUB_MODEL_TEXTS_A_S texts a second, if that is set.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from models.spec import Predictor, Scores
from models.stub import StubPredictor
from stream.cli import main
from stream.commands import worker
from stream.config.settings import Settings

FAULT_FILE = "STUB_MODEL_FAULT"
SPEED = "STUB_MODEL_TEXTS_A_S"
FITS = 4
LONG_S = 3_600


class FaultyPredictor(StubPredictor):
    """models.spec.Predictor that fails, or takes its time, as a device or a library would."""

    def __init__(self, order: Path | None, texts_a_s: float) -> None:
        """texts_a_s: 0 is as fast as it can."""
        super().__init__()
        self._order = order
        self._text_s = 1 / texts_a_s if texts_a_s else 0.0

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        fault = self._order.read_text() if self._order and self._order.exists() else ""
        time.sleep(self._text_s * len(tokens))
        if fault == "hang":
            threading.Event().wait(LONG_S)
        elif fault == "freeze":
            # PyDLL keeps the interpreter's lock during the call, as a bad extension would.
            ctypes.PyDLL(None).sleep(LONG_S)
        elif fault == "die":
            raise SystemExit("the stub's thread was told to end")
        self._max_texts = FITS if fault == "out-of-memory" else None
        return super().predict(tokens, kinds)


def _load(_settings: Settings) -> Predictor:
    order = os.environ.get(FAULT_FILE)
    return FaultyPredictor(Path(order) if order else None, float(os.environ.get(SPEED, "0")))


if __name__ == "__main__":
    worker.load_predictor = _load
    main()
