"""Measures of a fit: vectors and logits of texts, and how good the heads are on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from models.encoder import Encoder
from models.encoder_files import is_plain
from models.forward_paths import ForwardPath, Pool, build
from models.heads import MISSING, JointHeads, joint_loss
from models.predictor import TorchPredictor
from trainer.data.dataset import Example
from trainer.evaluate import reliability
from trainer.fitting.batches import Texts

BATCH_TEXTS = 64
OnStep = Callable[[int, int, float], None]
"""Told after each step: steps done, steps in all, the step's loss."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the data gave.

    val_loss is the plain cross entropy, train_loss what was minimised; accuracy is per head.
    """

    number: int
    train_loss: float
    val_loss: float
    accuracy: dict[str, float]

    def __str__(self) -> str:
        heads = ", ".join(f"{head} {value:.3f}" for head, value in self.accuracy.items())
        losses = f"train loss {self.train_loss:.4f}, val loss {self.val_loss:.4f}"
        return f"epoch {self.number}: {losses}, val accuracy {heads}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rounded(self) -> dict[str, Any]:
        """As a checkpoint keeps it."""
        return {
            "number": self.number,
            "train_loss": round(self.train_loss, 4),
            "val_loss": round(self.val_loss, 4),
            "accuracy": {head: round(value, 4) for head, value in self.accuracy.items()},
        }


def measure_epoch(
    number: int, train_loss: float, joint: JointHeads, vectors: torch.Tensor, held_out: Texts
) -> Epoch:
    """The heads on pooled vectors (n, hidden) of the held-out texts."""
    targets = targets_of(held_out, range(len(held_out)), vectors.device)
    with torch.inference_mode():
        logits = joint(vectors)
        loss = float(joint_loss(logits, targets))
    accuracy = {}
    for name, values in logits.items():
        known = targets[name] != MISSING
        if known.any():
            hits = values.argmax(dim=1)[known] == targets[name][known]
            accuracy[name] = float(hits.float().mean())
    return Epoch(number, train_loss, loss, accuracy)


def pooled_vectors(
    encoder: Encoder, tokens: Sequence[Sequence[int]], *, bf16: bool = False
) -> torch.Tensor:
    """The vectors (n, hidden) of n texts, in their order, of an encoder that may be in training."""

    def pool(batch: Sequence[Sequence[int]]) -> torch.Tensor:
        with torch.autocast(encoder.device.type, torch.bfloat16, enabled=bf16):
            return encoder.pool(batch)

    return _in_batches(pool, encoder, tokens)


def fast_pooled_vectors(
    encoder: Encoder, tokens: Sequence[Sequence[int]], *, bf16: bool = False
) -> torch.Tensor:
    """The same sooner, of an encoder whose weights are all its own: no adapters inside it."""
    path = ForwardPath("bf16" if bf16 else "fp32", packed=is_plain(encoder.config))
    return _in_batches(build(encoder, path), encoder, tokens)


@torch.inference_mode()
def _in_batches(pool: Pool, encoder: Encoder, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
    vectors = torch.empty(len(tokens), encoder.hidden, device=encoder.device)
    order = sorted(range(len(tokens)), key=lambda position: len(tokens[position]))
    for start in range(0, len(order), BATCH_TEXTS):
        batch = order[start : start + BATCH_TEXTS]
        vectors[batch] = pool([tokens[position] for position in batch])
    return vectors


def held_out_logits(
    encoder: Encoder, joint: JointHeads, examples: Sequence[Example]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Per head logits (n, labels) and targets (n,) of examples, on the CPU, for calibration."""
    texts = Texts(examples, encoder, joint.heads, encoder.max_tokens)
    with torch.inference_mode():
        logits = joint(pooled_vectors(encoder, texts.tokens))
    targets = targets_of(texts, range(len(texts)), torch.device("cpu"))
    return {name: values.cpu() for name, values in logits.items()}, targets


def reliability_by_head(
    joint: JointHeads, vectors: torch.Tensor, examples: Sequence[Example]
) -> dict[str, list[dict[str, Any]]]:
    """trainer.evaluate.reliability of each head that examples have labels for.

    vectors: (n, hidden) of the examples, on the CPU.
    """
    with torch.inference_mode():
        logits = joint(vectors)
    found = {}
    for head in joint.heads:
        own = [(at, one) for at, one in enumerate(examples) if one.labels.get(head.name)]
        if not own:
            continue
        temperatures = [head.calibrated_for(one.kind).temperature for _, one in own]
        rows = logits[head.name][[at for at, _ in own]] / torch.tensor(temperatures)[:, None]
        confidence, answers = rows.softmax(dim=1).max(dim=1)
        right = [
            head.labels[answer] in one.labels[head.name]
            for answer, (_, one) in zip(answers.tolist(), own, strict=True)
        ]
        found[head.name] = reliability(confidence.tolist(), right)
    return found


def targets_of(texts: Texts, batch: Sequence[int], device: torch.device) -> dict[str, torch.Tensor]:
    """Per head the label indices (n,) of a batch of positions, MISSING where there is no label."""
    return {
        name: torch.tensor([values[position] for position in batch], device=device)
        for name, values in texts.targets.items()
    }


def exact_predictor(encoder: Encoder, joint: JointHeads) -> TorchPredictor:
    """Both as a fit left them, ready to be evaluated, in fp32 on the encoder's device."""
    return TorchPredictor(
        encoder,
        joint,
        version="fitted",
        device=encoder.device,
        precision="fp32",
        threads=torch.get_num_threads(),
    )
