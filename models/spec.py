"""What a model promises: heads, label sets, scores, and its interface. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

SENTIMENT = ("negative", "neutral", "positive")
TOPIC = (
    "earnings",
    "mergers_acquisitions",
    "regulation_legal",
    "macro_economy",
    "markets_prices",
    "company_product",
    "world_politics",
    "account_access",
    "cards",
    "transfers_topups",
    "billing_fees",
    "fraud_security",
    "other",
)
RISK = ("low", "medium", "high")


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a head's logits become honest answers.

    temperature divides the logits before the softmax (Guo et al. 2017, "On Calibration of Modern
    Neural Networks"). A prediction whose highest probability is below abstain_below abstains.
    """

    temperature: float = 1.0
    abstain_below: float = 0.0


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One classification task read from the shared pooled vector.

    calibration holds for texts of any kind, by_kind for those kinds of source (news, social,
    ticket) that had enough validation text to be calibrated on their own.
    """

    name: str
    labels: tuple[str, ...]
    calibration: Calibration = Calibration()
    by_kind: dict[str, Calibration] = {}

    def calibrated_for(self, kind: str) -> Calibration:
        return self.by_kind.get(kind, self.calibration)


DEFAULT_HEADS = (
    Head(name="sentiment", labels=SENTIMENT),
    Head(name="topic", labels=TOPIC),
    Head(name="risk", labels=RISK),
)


def lost_heads(before: Sequence[Head], after: Sequence[Head]) -> list[str]:
    """In words the heads that there are no more, and of the others the labels."""
    now = {head.name: head.labels for head in after}
    return [
        f"{head.name} ({', '.join(gone)})" if head.name in now else head.name
        for head in before
        if (gone := [label for label in head.labels if label not in now.get(head.name, ())])
    ]


class HeadScore(msgspec.Struct, frozen=True, gc=False):
    """A head's answer: the best label, its probability, and every label's probability (sum 1)."""

    label: str
    confidence: float
    scores: dict[str, float]
    abstained: bool


Scores = dict[str, HeadScore]
"""Head name to its answer, for one text."""


class BatchInfo(msgspec.Struct, frozen=True, gc=False):
    """The micro-batch a result rode in: texts, their tokens, queueing time, and why it was cut.

    padding: tokens computed beyond those, 0 where texts are packed.
    """

    size: int
    tokens: int
    waited_ms: float
    released_by: str
    padding: int = 0


class ModelError(Exception):
    """A model can't be loaded or can't score; the message names the file or setting to mend."""


class OutOfMemoryError(ModelError):
    """A batch did not fit into the device's memory; the same texts in smaller batches may."""


class Predictor(Protocol):
    """A loaded model. Every method blocks.

    predict and predict_beside may run in as many threads at a time as there are lanes, and
    tokenize beside them.
    """

    @property
    def version(self) -> str:
        """Names the exact weights; written on every scored record."""
        ...

    @property
    def heads(self) -> tuple[Head, ...]: ...

    @property
    def description(self) -> str:
        """Version, device, forward path and why it was chosen, in one line for people."""
        ...

    @property
    def batch_tokens(self) -> int:
        """Tokens of the largest batch worth running here; padded ones (see pads) if it pads."""
        ...

    @property
    def max_tokens(self) -> int:
        """The longest text, special tokens included; longer ones are cut."""
        ...

    @property
    def lanes(self) -> int:
        """How many batches at a time are run faster than one after the other."""
        ...

    @property
    def pads(self) -> bool:
        """Whether a batch costs its longest text x its texts; else its own tokens and no more."""
        ...

    def warm_up(self) -> None:
        """Run once before the first batch; measures and picks the fastest honest path."""
        ...

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, cut to the encoder's maximum."""
        ...

    def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
        """One forward pass over one batch, answers in the order given.

        kinds says for each text what kind of source it came from, which decides how a head is
        calibrated; left out, no text's kind is known.

        Raises OutOfMemoryError when a smaller batch may succeed, any other exception when this
        batch can't be scored.
        """
        ...

    def predict_beside(
        self,
        tokens: Sequence[list[int]],
        kinds: Sequence[str],
        other: Predictor,
        rows: Sequence[int],
    ) -> tuple[list[Scores], list[Scores] | None]:
        """predict, and what another model answers to the texts in those rows, in their order.

        Both read one forward pass where they share the encoder; where not, or where the other
        fails, its part is None. Raises what predict raises.
        """
        ...
