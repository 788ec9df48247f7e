"""Calibration: each head's temperature, and the confidence below which it abstains."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

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
OTHER = "other"
"""Stands for the kinds of source that a head has no calibration of their own for."""


def calibrate(
    head: Head,
    logits: torch.Tensor,
    targets: torch.Tensor,
    kinds: Sequence[str] = (),
    *,
    former: Head | None = None,
) -> Head:
    """The head calibrated on held-out logits (n, labels), for all texts and for kinds of source.

    The temperature is the likeliest one (Guo et al. 2017, "On Calibration of Modern Neural
    Networks") under a prior that draws it to 1. abstain_below is the lowest confidence at which the
    accepted texts are at least 95 % right within a standard error, lowered where that would accept
    fewer than 60 % of them. A kind of source with fewer than 80 labelled texts shares the general
    calibration. targets: (n,), texts with MISSING are left out; without any other text the head
    stays as it is.

    former is the head as it served before, if it did. Texts of one kind say nothing of the others:
    where either these texts or former tell kinds apart, only a kind with 80 texts may be calibrated
    less strictly than it was.
    """
    known = targets != MISSING
    if not known.any():
        return head
    logits, targets = logits[known].float(), targets[known]
    general, by_kind = _calibration(logits, targets), {}
    own = [kind for kind, labelled in zip(kinds, known.tolist(), strict=False) if labelled]
    for kind in _enough(own):
        chosen = torch.tensor([other == kind for other in own])
        by_kind[kind] = _calibration(logits[chosen], targets[chosen])
    if former and (former.by_kind or any(own)):
        before = {kind: _stricter(one, general) for kind, one in former.by_kind.items()}
        by_kind = before | by_kind
        general = _stricter(former.calibration, general)
    return msgspec.structs.replace(head, calibration=general, by_kind=by_kind)


def renewed(head: Head, former: Head | None, kinds: Sequence[str]) -> dict[str, str]:
    """Of each kind of source that head is calibrated for, and of any other, "new" or "kept".

    kinds are those of the texts that it was calibrated on beside former; see calibrate.
    """
    enough = _enough(kinds)
    said = {kind: "new" if kind in enough else "kept" for kind in sorted(head.by_kind)}
    return said | {OTHER: "kept" if former and (former.by_kind or any(kinds)) else "new"}


def in_words(said: Mapping[str, str]) -> str:
    """What renewed() gives, for people."""
    any_other = "any other source" if len(said) > 1 else "every source"
    parts = []
    for word, how in (("new", "set by the validation texts"), ("kept", "as before or stricter")):
        of = [any_other if kind == OTHER else kind for kind, one in said.items() if one == word]
        if of:
            first = ", ".join(of[:-1])
            parts.append(f"{how} for {f'{first} and {of[-1]}' if first else of[-1]}")
    return "; ".join(parts)


def why_kept(said: Mapping[str, str]) -> str:
    """What of renewed() a person should know, "" where all is new."""
    if "kept" not in said.values():
        return ""
    return (
        f"calibration: {in_words(said)}; a less strict one needs {MIN_TEXTS} validation texts of "
        "that source (column source)"
    )


def unseen_confidences(
    head: Head,
    logits: torch.Tensor,
    targets: torch.Tensor,
    kinds: Sequence[str],
    *,
    former: Head | None = None,
) -> list[float]:
    """The confidence in each text's answer under a calibration on the other folds of the texts.

    On the very texts that set it, a calibration looks better than it is. Arguments as for
    calibrate, with a target and a kind for each text.
    """
    fold = torch.arange(len(targets)) % FOLDS
    temperatures = torch.ones(len(targets))
    for one in range(FOLDS):
        seen = (fold != one).nonzero()[:, 0].tolist()
        said = [kinds[at] for at in seen]
        other = calibrate(head, logits[seen], targets[seen], said, former=former)
        for at in (fold == one).nonzero()[:, 0].tolist():
            temperatures[at] = other.calibrated_for(kinds[at]).temperature
    confidences: list[float] = (logits / temperatures[:, None]).softmax(1).amax(1).tolist()
    return confidences


def _enough(kinds: Sequence[str]) -> list[str]:
    """The kinds of source of which there are texts enough to be calibrated on their own."""
    counts = Counter(kinds)
    return sorted(kind for kind, texts in counts.items() if kind and texts >= MIN_TEXTS)


def _stricter(one: Calibration, other: Calibration) -> Calibration:
    """Answers no text that either would not: the hotter a head, the less confident it is."""
    return Calibration(
        max(one.temperature, other.temperature), max(one.abstain_below, other.abstain_below)
    )


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
