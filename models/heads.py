"""The task heads, one linear layer over the pooled vector for all of them, and their joint loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from torch import nn

from models.spec import Head

MISSING = -100
"""A target that says nothing: the text has no label for that head."""


class JointHeads(nn.Module):
    """All heads side by side in one weight matrix: (sum of their labels, hidden)."""

    def __init__(self, heads: Sequence[Head], hidden: int) -> None:
        super().__init__()
        self.heads = tuple(heads)
        self.linear = nn.Linear(hidden, sum(len(head.labels) for head in heads))

    def forward(self, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
        """Head name to logits (n, labels) of pooled vectors (n, hidden)."""
        parts = self.linear(pooled).split([len(head.labels) for head in self.heads], dim=1)
        return {head.name: part for head, part in zip(self.heads, parts, strict=True)}

    @torch.no_grad()
    def start_from(self, other: JointHeads) -> list[str]:
        """Copy the rows of heads that other has by the same name and labels; returns the names."""
        theirs = {head.name: (head.labels, rows) for head, rows in other.rows()}
        copied = []
        for head, rows in self.rows():
            labels, from_rows = theirs.get(head.name, ((), slice(0)))
            if labels == head.labels:
                self.linear.weight[rows] = other.linear.weight[from_rows]
                self.linear.bias[rows] = other.linear.bias[from_rows]
                copied.append(head.name)
        return copied

    def rows(self) -> list[tuple[Head, slice]]:
        """Each head with the rows of the weight matrix that are its own."""
        rows = []
        start = 0
        for head in self.heads:
            rows.append((head, slice(start, start + len(head.labels))))
            start += len(head.labels)
        return rows


def joint_loss(
    logits: Mapping[str, torch.Tensor],
    targets: Mapping[str, torch.Tensor],
    *,
    class_weights: Mapping[str, torch.Tensor] | None = None,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Cross entropy of every label present, averaged over the n texts.

    targets: (n,) label indices per head, MISSING where a text has none. Averaging over texts rather
    than labels lets a text with three labels teach three times as much as one with a single label.
    """
    total = torch.zeros((), device=next(iter(logits.values())).device)
    for name, values in logits.items():
        weight = None if class_weights is None else class_weights[name]
        losses = F.cross_entropy(
            values.float(),
            targets[name],
            weight=weight,
            ignore_index=MISSING,
            label_smoothing=label_smoothing,
            reduction="sum",
        )
        total = total + losses
    return total / len(next(iter(targets.values())))


def distillation_loss(
    logits: torch.Tensor, answers: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Kullback-Leibler divergence of a head's answers from those it is to give, over the n texts.

    logits, answers: (n, labels); counts: (n,), 1 for texts that count and 0 for those that don't.
    """
    divergence = F.kl_div(
        logits.float().log_softmax(dim=1), answers.float().softmax(dim=1), reduction="none"
    ).sum(dim=1)
    return (divergence * counts).sum() / len(counts)


def balanced_weights(counts: Sequence[int], power: float) -> torch.Tensor:
    """Class weights (labels,) for label counts: rare labels up by count ** -power, mean 1 per text.

    power 0 leaves the data as it is, 1 makes every label count the same. Labels without a single
    text get weight 0.
    """
    number = torch.tensor(counts, dtype=torch.float32)
    weights = torch.where(number > 0, number.clamp(min=1.0) ** -power, torch.zeros(()))
    return weights * number.sum() / (weights * number).sum().clamp(min=1e-9)
