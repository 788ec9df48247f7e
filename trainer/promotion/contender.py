"""A champion or challenger in memory: its weights, and the vectors of texts, computed once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import torch

from models.checkpoint import encoder_key, merge, merge_heads, read_checkpoint
from models.description import Checkpoint
from models.encoder import Encoder, load_encoder
from models.heads import JointHeads
from trainer.fitting.measure import fast_pooled_vectors

TIMED_RUNS = 5


@dataclass(frozen=True)
class Contender:
    """A champion or a challenger.

    bf16 multiplies in bfloat16. vectors_by_text keeps every text to be remembered; versions that
    differ in their heads alone share it, since their encoder is the same.
    """

    checkpoint: Checkpoint
    weights: dict[str, torch.Tensor]
    encoder: Encoder
    joint: JointHeads
    bf16: bool = False
    vectors_by_text: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def encoder_key(self) -> str:
        return encoder_key(self.checkpoint, self.weights)

    def vectors(self, texts: Sequence[str], *, remember: bool = True) -> torch.Tensor:
        """(n, hidden) in the order of texts, float32 on the CPU."""
        known = self.vectors_by_text if remember else dict(self.vectors_by_text)
        fresh = [text for text in dict.fromkeys(texts) if text not in known]
        if fresh:
            pooled = fast_pooled_vectors(self.encoder, self.encoder.tokenize(fresh), bf16=self.bf16)
            known.update(zip(fresh, pooled.cpu(), strict=True))
        if not texts:
            return torch.empty(0, self.encoder.hidden)
        return torch.stack([known[text] for text in texts])

    def answers(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """Per head the index (n,) of the label it gives each text."""
        with torch.inference_mode():
            logits = self.joint(self.vectors(texts))
        return {name: values.argmax(dim=1) for name, values in logits.items()}


def load_contender(
    folder: Path, *, bf16: bool = False, sharing: Contender | None = None
) -> Contender:
    """The version in that folder; it shares the encoder of another where theirs is the same.

    Raises ModelError when the folder can't be served.
    """
    checkpoint, weights = read_checkpoint(folder)
    if sharing and encoder_key(checkpoint, weights) == sharing.encoder_key:
        joint = merge_heads(checkpoint, weights, sharing.encoder.hidden)
        return replace(sharing, checkpoint=checkpoint, weights=weights, joint=joint)
    encoder = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    return Contender(checkpoint, weights, encoder, merge(checkpoint, weights, encoder), bf16)


def slowdown(champion: Contender, challenger: Contender, texts: Sequence[str]) -> float:
    """The challenger's time for a batch over the champion's, medians of runs in turns."""
    if challenger.encoder is champion.encoder:
        return 1.0
    times: list[list[float]] = [[], []]
    for _ in range(TIMED_RUNS):
        for contender, own in zip((champion, challenger), times, strict=True):
            begun = time.perf_counter()
            fast_pooled_vectors(
                contender.encoder, contender.encoder.tokenize(texts), bf16=contender.bf16
            )
            own.append(time.perf_counter() - begun)
    return median(times[1]) / median(times[0])
