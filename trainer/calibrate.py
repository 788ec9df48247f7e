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
# Precision of a normal prior around 0 on the logarithm of the temperature: a dozen faultless texts
# would else make the head sure of everything, and among hundreds it is not felt.
PRIOR = 8.0
FOLDS = 5


def calibrate(
    head: Head, logits: torch.Tensor, targets: torch.Tensor, kinds: Sequence[str] = ()
) -> Head:
    """The head calibrated on held-out logits (n, labels), for all texts and for kinds of source.

    The temperature is the likeliest one (Guo et al. 2017, "On Calibration of Modern Neural
    Networks") under a prior that draws it to 1. abstain_below is the lowest confidence at which the
    accepted texts are at least 95 % right within a standard error, lowered where that would accept
    fewer than 60 % of them. A kind of source with fewer than 80 labelled texts shares the general
    calibration. targets: (n,), texts with MISSING are left out; without any other text the head
    stays as it is.
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


def unseen_confidences(
    head: Head, logits: torch.Tensor, targets: torch.Tensor, kinds: Sequence[str]
) -> list[float]:
    """The confidence in each text's answer under a calibration on the other folds of the texts.

    On the very texts that set it, a calibration looks better than it is. Arguments as for
    calibrate, with a target and a kind for each text.
    """
    fold = torch.arange(len(targets)) % FOLDS
    temperatures = torch.ones(len(targets))
    for one in range(FOLDS):
        seen = (fold != one).nonzero()[:, 0].tolist()
        other = calibrate(head, logits[seen], targets[seen], [kinds[at] for at in seen])
        for at in (fold == one).nonzero()[:, 0].tolist():
            temperatures[at] = other.calibrated_for(kinds[at]).temperature
    confidences: list[float] = (logits / temperatures[:, None]).softmax(1).amax(1).tolist()
    return confidences


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
    losses = [
        float(F.cross_entropy(logits / temperature, targets, reduction="sum"))
        + PRIOR / 2 * math.log(temperature) ** 2
        for temperature in grid
    ]
    return float(grid[losses.index(min(losses))])


def _threshold(confidences: Sequence[float], right: Sequence[bool]) -> float:
    ranked = sorted(zip(confidences, right, strict=True), reverse=True)
    needed = MIN_COVERAGE * len(ranked)
    errors = 0
    best = ranked[0][0]
    for accepted, (confidence, correct) in enumerate(ranked, start=1):
        errors += not correct
        if accepted <= needed or _highest(errors, accepted) <= MAX_ERROR:
            best = confidence
    return best


def _highest(errors: int, texts: int) -> float:
    """The error rate a standard error above the one seen (Wilson 1927, the score interval)."""
    share = errors / texts
    spread = math.sqrt(share * (1 - share) / texts + 1 / (4 * texts**2))
    return (share + 1 / (2 * texts) + spread) / (1 + 1 / texts)
