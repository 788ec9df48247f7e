"""Honest confidence: each head's temperature and the confidence below which it abstains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling

from models.heads import MISSING
from models.spec import Calibration, Head

MAX_ERROR = 0.05
MIN_COVERAGE = 0.6
MIN_TEXTS = 80


def calibrate(
    head: Head, logits: torch.Tensor, targets: torch.Tensor, kinds: Sequence[str] = ()
) -> Head:
    """The head calibrated on held-out logits (n, labels), for all texts and for kinds of source.

    The temperature is the one of least cross entropy (Guo et al. 2017, "On Calibration of Modern
    Neural Networks"). abstain_below is the lowest confidence at which the accepted texts are at
    least 95 % right, lowered where that would accept fewer than 60 % of them. A kind of source with
    fewer than 80 labelled texts shares the general calibration. targets: (n,), texts with MISSING
    are left out; without any other text the head stays as it is.
    """
    known = targets != MISSING
    if not known.any():
        return head
    logits, targets = logits[known].float(), targets[known]
    by_kind = {}
    own = [kind for kind, labelled in zip(kinds, known.tolist(), strict=False) if labelled]
    for kind in sorted(set(own) - {""}):
        chosen = torch.tensor([other == kind for other in own])
        if int(chosen.sum()) >= MIN_TEXTS:
            by_kind[kind] = _calibration(logits[chosen], targets[chosen])
    return msgspec.structs.replace(head, calibration=_calibration(logits, targets), by_kind=by_kind)


def _calibration(logits: torch.Tensor, targets: torch.Tensor) -> Calibration:
    temperature = round(_temperature(logits, targets), 4)
    confidence, answers = (logits / temperature).softmax(dim=1).max(dim=1)
    right = (answers == targets).tolist()
    # Rounded down, so that the text that set the threshold is still accepted.
    threshold = math.floor(_threshold(confidence.tolist(), right) * 1e4) / 1e4
    return Calibration(temperature, threshold)


def _temperature(logits: torch.Tensor, targets: torch.Tensor) -> float:
    # The loss has a single minimum along this line; a grid finds it to 2 % and can't diverge.
    grid = torch.logspace(-1, 1, 231)
    losses = [float(F.cross_entropy(logits / temperature, targets)) for temperature in grid]
    return float(grid[losses.index(min(losses))])


def _threshold(confidences: Sequence[float], right: Sequence[bool]) -> float:
    ranked = sorted(zip(confidences, right, strict=True), reverse=True)
    needed = MIN_COVERAGE * len(ranked)
    errors = 0
    best = ranked[0][0]
    for accepted, (confidence, correct) in enumerate(ranked, start=1):
        errors += not correct
        if accepted <= needed or errors <= MAX_ERROR * accepted:
            best = confidence
    return best
