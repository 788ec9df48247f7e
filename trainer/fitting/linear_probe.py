"""A new head starts as a linear probe: at its best over the encoder as it is.

A head of random weights bends the encoder for as long as it is wrong, and what the encoder knew is
lost to it. One that is fitted first leaves the encoder less to unlearn (Kumar et al. 2022,
"Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution").
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling

from models.heads import MISSING, JointHeads
from trainer.fitting.refit import minimise

DECAY = 1e-4
STEPS = 100


def start_from_probe(
    joint: JointHeads,
    vectors: torch.Tensor,
    targets: Mapping[str, torch.Tensor],
    names: Collection[str],
) -> None:
    """Give those heads the weights of a linear probe, where any text has a label for them.

    vectors: (n, hidden) of the texts; targets: per head (n,) label indices, MISSING where there is
    none. The objective is convex, so the result depends on no seed and no order.
    """
    # A clone is no inference tensor, so that it may take part in a gradient.
    vectors = vectors.clone()
    for head, rows in joint.rows():
        known = targets[head.name] != MISSING
        if head.name in names and known.any():
            weight, bias = _probe(vectors[known], targets[head.name][known], len(head.labels))
            with torch.no_grad():
                joint.linear.weight[rows] = weight
                joint.linear.bias[rows] = bias


def _probe(
    vectors: torch.Tensor, targets: torch.Tensor, labels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    weight = vectors.new_zeros(labels, vectors.shape[1], requires_grad=True)
    bias = vectors.new_zeros(labels, requires_grad=True)

    def loss() -> torch.Tensor:
        fit = F.cross_entropy(F.linear(vectors, weight, bias), targets)
        return fit + DECAY / 2 * weight.square().sum()

    minimise([weight, bias], loss, STEPS)
    return weight.detach(), bias.detach()
