"""What a batch costs, learnt from the batches that were run, and how large one should be."""

from __future__ import annotations

import msgspec
import numpy as np

# Of the past: a batch counts half after 70 more, so that a model swapped in, or a machine that
# others load, is learnt in seconds.
MEMORY = 0.99
# A strange batch (a page fault, a neighbour) says little; it counts as at most this many times what
# was expected.
SURPRISE = 3.0
FEW_BATCHES = 8
"""So many come before anything is claimed, and before the line is drawn again."""
# Of a batch's time, at most this share goes into what does not grow with it.
OVERHEAD_SHARE = 0.02
# The line is learnt from batches of the sizes that were run, so it is not trusted far below them.
SMALLEST_SHARE = 4


class Cost(msgspec.Struct, frozen=True):
    """Seconds of a batch: pass_s + token_s x tokens + text_s x texts."""

    pass_s: float
    token_s: float
    text_s: float

    def seconds(self, tokens: int, texts: int) -> float:
        return self.pass_s + self.token_s * tokens + self.text_s * texts


# Of a slow CPU: until it is known better, a backlog is taken for a long one.
UNKNOWN = Cost(0.0, 0.0005, 0.0)


class CostModel:
    """Least squares over the latest batches, the older ones fading."""

    def __init__(self) -> None:
        self._batches = 0
        self._gram = np.zeros((3, 3))
        self._moment = np.zeros(3)
        self.cost: Cost | None = None
        """None until enough batches were seen."""
        self.text_tokens = 1.0
        """Tokens of a text, on average over the same batches."""

    def observe(self, tokens: int, texts: int, seconds: float) -> None:
        """A batch of that many tokens, padding included, had the device for so long."""
        if self.cost is not None:
            seconds = min(seconds, SURPRISE * self.cost.seconds(tokens, texts))
        row = np.array([1.0, tokens, texts])
        # Errors grow with the time a batch takes; as shares of it, they count alike.
        weight = 1.0 / max(seconds, 1e-6) ** 2
        self._gram = self._gram * MEMORY + np.outer(row, row) * weight
        self._moment = self._moment * MEMORY + row * seconds * weight
        self._batches += 1
        self.text_tokens = float(self._gram[0, 1] / self._gram[0, 2])
        if self._batches % FEW_BATCHES == 0:
            self.cost = self._solve()

    def text_seconds(self, tokens: int) -> float:
        """What one more text adds to a batch."""
        cost = self.cost or UNKNOWN
        return cost.seconds(tokens, 1) - cost.pass_s

    def _solve(self) -> Cost | None:
        # None of the three can be below nothing: one that comes out so is left out of the sum.
        names = [0, 1, 2]
        while names:
            gram = self._gram[np.ix_(names, names)]
            # Batches all of one size can't tell the terms apart; the ridge then shares evenly.
            ridge = 1e-9 * np.diag(np.diag(gram))
            found = np.linalg.solve(gram + ridge, self._moment[names])
            if (found >= 0).all():
                full = np.zeros(3)
                full[names] = found
                return Cost(*(float(value) for value in full))
            del names[int(found.argmin())]
        return None

    def limit(self, most: int, target_s: float) -> tuple[int, str]:
        """Tokens that the next batch may have, at most `most`, and what set that number.

        "budget": most itself. "efficiency": a larger batch would be hardly cheaper a token, only
        later. "latency": a larger one would take longer than target_s.
        """
        if self.cost is None:
            return most, "budget"
        each_s = self.cost.token_s + self.cost.text_s / self.text_tokens
        if each_s <= 0.0:
            return most, "budget"
        efficient = self.cost.pass_s * (1 / OVERHEAD_SHARE - 1) / each_s
        in_time = (target_s - self.cost.pass_s) / each_s
        wanted = max(efficient, most / SMALLEST_SHARE)
        if in_time < min(wanted, most):
            return max(1, int(in_time)), "latency"
        return (most, "budget") if wanted >= most else (int(wanted), "efficiency")
