"""What goes into an encoder's linear layers while it reads a few texts of many kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from models.encoder import Encoder
from models.int8 import Seen
from models.packed import PackedEncoder, Step, Weights

# Not those on which the race checks labels, so that these are texts not seen before. None is like
# another in length, register or spelling: what they have in common is English.
TEXTS = (
    "Where is my refund?",
    "URGENT!!! site is DOWN, 500 errors on every page since 09:14 UTC, customers can't log in",
    "$ACME to the moon 🚀🚀 loaded up on calls before earnings, don't miss it #stocks @trader_joe",
    "ACME Corp cuts full-year outlook as demand for its pumps weakens in Europe",
    """Hi team, I was charged twice for my subscription this month (12.99 EUR on the 3rd and again
    on the 4th). Could you please cancel one of them and confirm by e-mail? Kind regards, Maria""",
    "The central bank raised its benchmark rate by 25 basis points to 4.75 percent, as expected.",
    "lol no way they actually shipped it",
    "Operating profit rose to EUR 13.1 mn from EUR 8.7 mn in the corresponding period of 2007.",
    "How do I change the PIN of my card in the app? It says 'invalid request (code 403)'.",
    """Police said two people were arrested near the harbour on Tuesday night after a chase that
    ended when their car hit a wall; nobody was hurt, and the road was closed until morning.""",
    "Great service as always, thank you so much!",
    "http://example.org/a?id=1 read this before you buy anything from them",
    "Scientists find traces of water in rocks brought back from the far side of the moon",
    """Someone used my account to buy gift cards for 640 dollars. I never shared my password.
    Block it now and tell me what else they have seen, or I go to the police and my lawyer.""",
    "Shares -7.2% pre-mkt; downgrade at two brokers, PT cut to $41 from $58",
    "It was fine, I guess. Not good, not bad.",
    "The striker scored twice in the second half as the visitors won 3-1 and went top of the table",
    "I hate this app. Worst update ever. Uninstalling.",
    """The company said it had reached a settlement with the regulator over the way its brokers
    handled orders, under which it pays 90 million and admits no wrongdoing; its chief executive
    steps down at the end of the year and the board has begun to look for a successor outside.""",
    "Is there an ETA for order #A-20931? Tracking hasn't moved in 6 days.",
    "New phone has twice the memory, a better camera and the same battery; price starts at 799",
    "Nordic utility signs ten-year supply agreement with steel maker",
    "can u help me pls my card got eaten by the atm",
    "Minister resigns over leaked documents; opposition calls for early elections in spring",
)

Ranges = Mapping[str, Seen]
"""By the layer's name; layers that read the same have the name of their first."""


def seen_inputs(encoder: Encoder) -> Ranges:
    """Of an encoder that is plain."""
    watched = _Watched(encoder)
    with torch.inference_mode():
        watched.pool(encoder.tokenize(TEXTS))
    return watched.ranges


class _Watched(PackedEncoder):
    def __init__(self, encoder: Encoder) -> None:
        self.ranges: dict[str, Seen] = {}
        super().__init__(encoder, "fp32")

    def _linear(self, weights: Weights, *names: str, **kwargs: Any) -> Step:
        run = super()._linear(weights, *names, **kwargs)

        def watched(x: torch.Tensor) -> torch.Tensor:
            self.ranges[names[0]] = Seen.of(x)
            return run(x)

        return watched
