"""What to run next, as pure functions of lengths and times: which texts share a batch."""

from __future__ import annotations

from collections.abc import Sequence

# A pass costs about as much as this many tokens before it computes the first one (MiniLM on two
# CPU cores: 3 to 4 ms of 0.08 ms a token), so padding beyond it is dearer than a pass of its own.
PASS_OVERHEAD_TOKENS = 48


def cut_padded(tokens: Sequence[list[int]], budget: int) -> list[list[list[int]]]:
    """Batches of texts in ascending order of length, as a padded predictor is given them."""
    batches = []
    left = list(tokens)
    while left:
        low, _, _ = cut_batch([len(row) for row in left], len(left) - 1, budget)
        batches.append(left[low:])
        del left[low:]
    return batches[::-1]


def cut_batch(lengths: Sequence[int], oldest: int, max_tokens: int) -> tuple[int, int, str]:
    """Choose the slice [low, high) of ascending lengths around oldest, and say what ended it.

    Grows towards the neighbour that adds less padding while size x longest stays within
    max_tokens; a text longer than max_tokens rides alone. The reason is "budget" (full), "length"
    (the next text would add more padding than a pass of its own costs) or "idle" (all there was).
    """
    low, high = oldest, oldest + 1
    longest = lengths[oldest]
    while low > 0 or high < len(lengths):
        size = high - low
        shorter_padding = longest - lengths[low - 1] if low > 0 else None
        longer_padding = (lengths[high] - longest) * size if high < len(lengths) else None
        go_longer = longer_padding is not None and (
            shorter_padding is None or longer_padding <= shorter_padding
        )
        padding = longer_padding if go_longer else shorter_padding
        if padding is None or padding > PASS_OVERHEAD_TOKENS:
            return low, high, "length"
        next_longest = lengths[high] if go_longer else longest
        if (size + 1) * next_longest > max_tokens:
            return low, high, "budget"
        if go_longer:
            high += 1
            longest = next_longest
        else:
            low -= 1
    return low, high, "idle"
