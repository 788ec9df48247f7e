"""Labels that are probably wrong: what a model taught by all the others thinks of each."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from models.heads import MISSING, JointHeads
from trainer.fitting.refit import refit

FOLDS = 5


def out_of_fold(
    joint: JointHeads,
    vectors: torch.Tensor,
    targets: Mapping[str, torch.Tensor],
    reminders: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """Per head the probabilities (n, labels) of each text by heads refitted without it.

    In FOLDS parts, text i belonging to part i modulo FOLDS; arguments as in refit().
    """
    parts = torch.arange(len(vectors)) % FOLDS
    answers = {head.name: torch.zeros(len(vectors), len(head.labels)) for head in joint.heads}
    for part in range(FOLDS):
        out = parts == part
        if not out.any():
            continue
        taught = {name: own.masked_fill(out, MISSING) for name, own in targets.items()}
        fitted = refit(joint, vectors, taught, reminders)
        with torch.inference_mode():
            for name, logits in fitted(vectors[out]).items():
                answers[name][out] = logits.softmax(dim=1)
    return answers


def suspects(probabilities: torch.Tensor, targets: torch.Tensor) -> list[int]:
    """The positions of labels that the out-of-fold answers contradict, the worst first.

    By confident learning (Northcutt, Jiang and Chuang 2021): a text given label i counts against it
    when some other label j is at least as likely for it as j is on average for texts given j, and
    more likely than i. probabilities: (n, labels); targets: (n,), MISSING where there is none.
    """
    known = targets != MISSING
    usual = torch.full((probabilities.shape[1],), 2.0)
    for label in set(targets[known].tolist()):
        own = targets == label
        usual[label] = probabilities[own, label].mean()
    found = []
    for position in known.nonzero().flatten().tolist():
        row, given = probabilities[position], int(targets[position])
        best = int(row.masked_fill(row < usual, 0.0).argmax())
        if row[best] >= usual[best] and best != given and row[best] > row[given]:
            found.append((float(row[given] - row[best]), position))
    return [position for _, position in sorted(found)]
