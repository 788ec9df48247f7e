"""What the peers share: where they read and write, the shipped model with padding, their record."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import torch

from models.checkpoint import merge, read_checkpoint
from models.description import shipped
from models.encoder import Encoder, load_encoder
from models.forward_paths import ForwardPath
from models.heads import JointHeads
from models.packed import multiplies_bf16
from models.predictor import TorchPredictor
from models.spec import Scores

BOOTSTRAP = os.environ.get("PEER_BOOTSTRAP", "")
GROUP = os.environ.get("PEER_GROUP", "")
SOURCE = os.environ.get("PEER_IN", "")
SINK = os.environ.get("PEER_OUT", "")
PARTITIONS = 8
"""Of either topic."""


def padded_predictor(precision: str = "fp32", device: str = "cpu") -> TorchPredictor:
    """The shipped checkpoint, every batch padded to its longest text."""
    encoder, heads = shipped_model()
    path = ForwardPath("bf16" if precision == "bf16" else "fp32", packed=False)
    return TorchPredictor(encoder, heads, version="peer", device=torch.device(device), path=path)


def shipped_model() -> tuple[Encoder, JointHeads]:
    checkpoint, weights = read_checkpoint(shipped())
    encoder = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    return encoder, merge(checkpoint, weights, encoder)


def best_precision() -> str:
    """The one that somebody who measures would take on this CPU."""
    return "bf16" if multiplies_bf16() else "fp32"


def score(predictor: TorchPredictor, texts: Sequence[str], size: int) -> list[Scores]:
    """Sorted by length and in batches of that size; the answers in the order of texts."""
    tokens = predictor.tokenize(texts)
    order = sorted(range(len(tokens)), key=lambda at: len(tokens[at]))
    found: list[Scores] = [{}] * len(tokens)
    for start in range(0, len(order), size):
        some = order[start : start + size]
        for at, scores in zip(some, predictor.predict([tokens[at] for at in some]), strict=True):
            found[at] = scores
    return found


def output(event: Mapping[str, Any], scores: Scores) -> bytes:
    heads = {
        name: {"label": head.label, "confidence": head.confidence} for name, head in scores.items()
    }
    return orjson.dumps({"id": event["id"], "heads": heads})
