"""A challenger out of the champion and people's labels, fast or deep, with its evidence."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import torch

from models.checkpoint import HEADS, add_difference, merge, stored_heads
from models.description import Checkpoint
from models.encoder import load_encoder
from trainer.data.dataset import evenly_spaced, split
from trainer.fitting.adapters import compress
from trainer.fitting.config import default_config
from trainer.fitting.fit import Watch, fit
from trainer.fitting.measure import reliability_by_head
from trainer.promotion.compare import compare, cross_check, recent_slices
from trainer.promotion.contender import Contender, slowdown
from trainer.promotion.data_split import DataSplit
from trainer.promotion.gate import Evidence

DEEP_REMINDERS_PER_TEXT = 2
DEEP_RANK = 96
VALIDATION_SHARE = 0.15
TIMED_TEXTS = 64


@dataclass(frozen=True)
class Challenger:
    """A version that is not written yet, and what speaks for and against it.

    doubtful are the texts of labels that contradict the others, by head, the worst first.
    """

    checkpoint: Checkpoint
    weights: dict[str, torch.Tensor]
    evidence: Evidence
    doubtful: dict[str, list[str]]


def challenge_fast(
    champion: Contender, root: Contender, data: DataSplit, *, lineage: Mapping[str, Any]
) -> Challenger:
    """New heads on vectors that are there already, in seconds; lineage goes into the checkpoint.

    root is the version that the fast ones descend from, on the champion's encoder. All labels teach
    its heads, so that many small steps don't add up to forgetting, and a label taken back is gone.
    """
    check = cross_check(root, data)
    taught_heads = dataclasses.replace(root, joint=check.joint)
    weights = root.weights | stored_heads(check.joint)
    evidence = Evidence(
        slices=(
            *recent_slices(champion, data, check.unseen),
            *compare(champion, taught_heads, data),
        ),
        doubts=check.doubts,
    )
    checkpoint = _measured(_child(champion, root, "fast", lineage), taught_heads, data)
    return Challenger(checkpoint, weights, evidence, check.doubtful)


def challenge_deep(
    champion: Contender,
    root: Contender,
    data: DataSplit,
    *,
    lineage: Mapping[str, Any],
    watch: Watch | None = None,
) -> Challenger:
    """Low-rank adapters on the whole encoder, in minutes; the reminders keep what it knew.

    Raises FitError where the labels are too few to keep some back for the choice of the epoch.
    """
    encoder = copy.deepcopy(root.encoder)
    learn, validation = split(data.train, VALIDATION_SHARE, salt="deep")
    kept = evenly_spaced(data.reminders, DEEP_REMINDERS_PER_TEXT * len(learn))
    config = default_config("lora", epochs=3, bf16=champion.bf16)
    fitted = fit(
        encoder,
        root.joint.heads,
        [*learn, *kept],
        validation,
        config,
        known=root.joint,
        watch=watch,
    )
    weights = _one_difference(root, fitted.weights)
    epochs = [epoch.rounded() for epoch in fitted.epochs]
    checkpoint = _child(champion, root, "deep", {**lineage, "epochs": epochs})
    fresh = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    new = Contender(checkpoint, weights, fresh, merge(checkpoint, weights, fresh), champion.bf16)
    timed = [one.text for one in data.reminders[:TIMED_TEXTS]]
    check = cross_check(root, data)
    evidence = Evidence(
        slices=tuple(compare(champion, new, data)),
        doubts=check.doubts,
        slowdown=slowdown(champion, new, timed),
    )
    return Challenger(_measured(checkpoint, new, data), weights, evidence, check.doubtful)


def _measured(checkpoint: Checkpoint, new: Contender, data: DataSplit) -> Checkpoint:
    """With how far its confidence is right on the protected texts, which nobody trains on."""
    protected = [*data.golden, *data.base]
    vectors = new.vectors([one.text for one in protected])
    bins = reliability_by_head(new.joint, vectors, protected)
    return msgspec.structs.replace(checkpoint, metrics={"reliability": bins})


def _one_difference(root: Contender, fitted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Root and adapters as one difference to the bare encoder, or its rank would only grow."""
    bare = load_encoder(root.checkpoint.encoder, max_tokens=root.checkpoint.max_tokens)
    before = {name: value.clone() for name, value in bare.model.named_parameters()}
    merge(root.checkpoint, root.weights, bare)
    # merge would refuse an encoder that already differs from the one it knows.
    add_difference(fitted, bare)
    after = {
        name: value.detach()
        for name, value in bare.model.named_parameters()
        if not torch.equal(value, before[name])
    }
    heads = {name: value for name, value in fitted.items() if name.startswith(HEADS)}
    return heads | compress(before, after, DEEP_RANK)


def _child(
    champion: Contender, root: Contender, speed: str, lineage: Mapping[str, Any]
) -> Checkpoint:
    return msgspec.structs.replace(
        root.checkpoint,
        training={
            "parent": champion.checkpoint.version,
            "root": root.checkpoint.version,
            "speed": speed,
            **lineage,
        },
        metrics={},
    )
