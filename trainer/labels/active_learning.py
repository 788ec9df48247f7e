"""Active learning: label next what is unsure and unlike the others, and a few sure ones. Pure."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

Why = Literal["unsure", "sure"]

# A model that is wrong and sure of it is only found by asking about what it is sure of.
SURE_SHARE = 0.1
# So many of the least sure per event to ask for: among them unlikeness decides.
CANDIDATES = 5


class Choice(NamedTuple):
    """The position of an event to ask people about, and why it was chosen."""

    at: int
    why: Why


def choose(
    probabilities: torch.Tensor, vectors: torch.Tensor, labelled: torch.Tensor, count: int
) -> list[Choice]:
    """At most count of n events, the most useful first; the same input gives the same answer.

    probabilities: (n, labels) of one head; vectors: (n, hidden); labelled: (m, hidden) of texts
    whose label is known. Unsure is a small margin between the two likeliest labels (Scheffer et al.
    2001). Of the least sure ones that event is next which lies farthest from all that are labelled
    or chosen, in cosine distance weighted by how unsure it is (farthest-first traversal, Gonzalez
    1985; on unsure candidates as in Citovsky et al. 2021, Batch Active Learning at Scale).
    """
    count = min(count, len(probabilities))
    if count == 0:
        return []
    best = probabilities.topk(min(2, probabilities.shape[1]), dim=1).values
    margin = best[:, 0] - best[:, -1] if best.shape[1] > 1 else 1.0 - best[:, 0]
    order = margin.argsort(stable=True)
    sure = int(count * SURE_SHARE)
    candidates = order[: CANDIDATES * count]
    chosen = _spread(vectors[candidates], 1.0 - margin[candidates], labelled, count - sure)
    asked = [Choice(int(candidates[at]), "unsure") for at in chosen]
    taken = {one.at for one in asked}
    rest = [at for at in order.flip(0).tolist() if at not in taken]
    step = max(1, len(rest) // 2 // sure) if sure else 1
    return [*asked, *(Choice(at, "sure") for at in rest[::step][:sure])]


def _spread(
    vectors: torch.Tensor, weights: torch.Tensor, known: torch.Tensor, count: int
) -> list[int]:
    unit = torch.nn.functional.normalize(vectors, dim=1)
    nearest = torch.full((len(unit),), 2.0)
    if len(known):
        alike = unit @ torch.nn.functional.normalize(known, dim=1).T
        nearest = 1.0 - alike.max(dim=1).values
    chosen: list[int] = []
    # Beside the product, which is 0 wherever a head has no doubt at all.
    free = torch.zeros(len(unit))
    for _ in range(min(count, len(unit))):
        at = int((nearest * weights + free).argmax())
        chosen.append(at)
        nearest = torch.minimum(nearest, 1.0 - unit @ unit[at])
        free[at] = -torch.inf
    return chosen
