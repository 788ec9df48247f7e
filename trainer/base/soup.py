"""One model out of several that began at the same one: the average of their weights.

Fits that go on from one checkpoint stay close enough for the point between them to be good at what
each of them learnt (Wortsman et al. 2022, "Model soups"; Ilharco et al. 2023, "Editing models with
task arithmetic"). It costs nothing when the model is served.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from models.checkpoint import merge, read_checkpoint, stored_heads
from models.description import Checkpoint
from models.encoder import load_encoder
from models.spec import ModelError
from trainer.fitting.adapters import compress


def average(shares: Mapping[Path, float], rank: int) -> dict[str, torch.Tensor]:
    """The weights, as models.checkpoint stores them, of checkpoints by their share of the average.

    All must be of the same encoder and have the same heads. The difference to the encoder is cut to
    that rank. Raises ModelError where they don't fit together.
    """
    total = sum(shares.values())
    encoder: dict[str, torch.Tensor] = {}
    heads: dict[str, torch.Tensor] = {}
    first: Checkpoint | None = None
    for folder, share in shares.items():
        checkpoint, weights = read_checkpoint(folder)
        first = first or checkpoint
        if _kind(checkpoint) != _kind(first):
            raise ModelError(f"{folder}: has another encoder or other heads than {first.name}")
        own = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
        joint = merge(checkpoint, weights, own)
        _add(encoder, dict(own.model.named_parameters()), share)
        _add(heads, stored_heads(joint), share)
    if first is None:
        raise ModelError("an average needs at least one checkpoint")
    for parts in (encoder, heads):
        parts.update({name: (value / total).float() for name, value in parts.items()})
    bare = dict(load_encoder(first.encoder).model.named_parameters())
    changed = {name: value for name, value in encoder.items() if not value.equal(bare[name])}
    return heads | compress(bare, changed, rank)


def _kind(checkpoint: Checkpoint) -> object:
    return checkpoint.encoder_fingerprint, [(head.name, head.labels) for head in checkpoint.heads]


@torch.no_grad()
def _add(total: dict[str, torch.Tensor], part: Mapping[str, torch.Tensor], share: float) -> None:
    for name, value in part.items():
        # In double precision the average of equal values is that value.
        total[name] = total.get(name, 0.0) + share * value.detach().double()
