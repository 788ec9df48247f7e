"""The fast fit: heads fitted again on vectors that the encoder has computed already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling

from models.heads import MISSING, JointHeads, distillation_loss

# What people said of one event counts as much as what the model used to say of this many.
LABEL_WEIGHT = 12.0
# Keeps the answers to texts far from every label and every reminder where they were.
STAY_WEIGHT = 1.0
STEPS = 60


def refit(
    joint: JointHeads,
    vectors: torch.Tensor,
    targets: Mapping[str, torch.Tensor],
    reminders: torch.Tensor,
) -> JointHeads:
    """New heads that say what the targets say and otherwise what they said before.

    vectors: (n, hidden) of the labelled texts; targets: per head (n,) label indices, MISSING where
    there is none; reminders: (m, hidden) of texts on which the answers are to stay (learning
    without forgetting, Li and Hoiem 2016). Heads without a target are copied bit for bit. The
    objective of each head is convex in its weights, so the result depends on no seed and no order:
        LABEL_WEIGHT x cross entropy + divergence on reminders + STAY_WEIGHT x squared change
    """
    fresh = JointHeads(joint.heads, vectors.shape[1])
    fresh.load_state_dict(joint.state_dict())
    # A clone is no inference tensor, so that it may take part in a gradient.
    vectors, reminders = vectors.clone(), reminders.clone()
    for head, rows in joint.rows():
        known = targets[head.name] != MISSING
        if not known.any():
            continue
        weight, bias = _fit(
            joint.linear.weight[rows].detach().clone(),
            joint.linear.bias[rows].detach().clone(),
            vectors[known],
            targets[head.name][known],
            reminders,
        )
        with torch.no_grad():
            fresh.linear.weight[rows] = weight
            fresh.linear.bias[rows] = bias
    return fresh.eval()


def _fit(
    weight: torch.Tensor,
    bias: torch.Tensor,
    vectors: torch.Tensor,
    targets: torch.Tensor,
    reminders: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    before = F.linear(reminders, weight, bias)
    all_count = torch.ones(len(reminders))
    change = [torch.zeros_like(part, requires_grad=True) for part in (weight, bias)]

    def loss() -> torch.Tensor:
        new_weight, new_bias = weight + change[0], bias + change[1]
        taught = F.cross_entropy(F.linear(vectors, new_weight, new_bias), targets, reduction="sum")
        total = LABEL_WEIGHT * taught + STAY_WEIGHT * sum(part.square().sum() for part in change)
        if len(reminders):
            now = F.linear(reminders, new_weight, new_bias)
            total = total + len(reminders) * distillation_loss(now, before, all_count)
        return total

    minimise(change, loss, STEPS)
    return (weight + change[0]).detach(), (bias + change[1]).detach()


def minimise(
    parameters: Sequence[torch.Tensor], loss: Callable[[], torch.Tensor], steps: int
) -> None:
    """Take parameters in place to where a convex loss of them is least, in so many steps."""
    optimiser = torch.optim.LBFGS(
        parameters, max_iter=steps, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        total = loss()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(closure)  # type: ignore[no-untyped-call]
