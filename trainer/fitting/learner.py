"""What a fit trains: the parameters, one optimiser step, and its state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from torch import nn

from models.checkpoint import HEADS
from models.encoder import Encoder
from models.heads import MISSING, JointHeads, balanced_weights, distillation_loss, joint_loss
from models.spec import Head
from trainer.fitting.adapters import unfreeze
from trainer.fitting.batches import Texts, hide_tokens
from trainer.fitting.config import FitConfig
from trainer.fitting.dropout import dropped
from trainer.fitting.linear_probe import start_from_probe
from trainer.fitting.measure import pooled_vectors, targets_of
from trainer.fitting.resume import State

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Advice(NamedTuple):
    """What a specialist says of some of the texts, which learn its answers beside their labels.

    positions are those of the texts; answers: head to logits (positions, labels).
    """

    positions: list[int]
    answers: dict[str, torch.Tensor]


class Learner:
    """Heads over an encoder, of which config.method says what is trained, taught batch by batch.

    known, teacher, advice and their part in the loss are explained at trainer.fitting.fit.fit.
    """

    def __init__(
        self,
        encoder: Encoder,
        texts: Texts,
        heads: Sequence[Head],
        config: FitConfig,
        *,
        known: JointHeads | None,
        teacher: Encoder | None,
        advice: Advice | None,
        steps: int,
    ) -> None:
        self.steps = steps
        self.frozen = config.method == "heads"
        self.joint = JointHeads(heads, encoder.hidden).to(encoder.device)
        self._encoder, self._texts, self._config = encoder, texts, config
        learnt = self.joint.start_from(known) if known else []
        # With the encoder frozen, a text's vector is the same in every epoch.
        self._vectors: torch.Tensor | None = None
        self._before: dict[str, torch.Tensor] = {}
        if self.frozen:
            self._vectors = pooled_vectors(encoder, texts.tokens, bf16=config.bf16)
        elif known and learnt:
            vectors = pooled_vectors(teacher or encoder, texts.tokens, bf16=config.bf16)
            with torch.inference_mode():
                answers = known(vectors)
            self._before = {name: answers[name].clone() for name in learnt}
            if new := {head.name for head in heads}.difference(learnt):
                if teacher:
                    vectors = pooled_vectors(encoder, texts.tokens, bf16=config.bf16)
                every = targets_of(texts, range(len(texts)), encoder.device)
                start_from_probe(self.joint, vectors, every, new)
        # Which texts learn the answers in _before: those without a label, and those with advice.
        self._counts = {
            name: (torch.tensor(texts.targets[name]) == MISSING).float().to(encoder.device)
            for name in self._before
        }
        if advice:
            self._take(advice)
        self._class_weights = {
            head.name: balanced_weights(texts.counts(head), config.class_balance).to(encoder.device)
            for head in heads
        }
        self._untaught = [
            rows for head, rows in self.joint.rows() if self.frozen and not any(texts.counts(head))
        ]
        trained = unfreeze(encoder, config.method, rank=config.lora_rank, alpha=config.lora_alpha)
        # Its own dropout doubles a CPU's forward pass.
        encoder.eval()
        own = {f"{HEADS}{name}": value for name, value in self.joint.linear.named_parameters()}
        self._parameters: dict[str, nn.Parameter] = {**trained, **own}
        self._optimiser = torch.optim.AdamW(
            [
                {"params": list(own.values()), "lr": config.head_rate},
                {"params": list(trained.values()), "lr": config.encoder_rate},
            ],
            weight_decay=config.weight_decay,
        )
        self._done = 0

    def step(self, batch: Sequence[int]) -> float:
        """One optimiser step on texts by position; returns the loss that it minimised."""
        config, device = self._config, self._encoder.device
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16):
            pooled = self._pooled(batch)
            logits = self.joint(F.dropout(pooled, config.dropout))
        targets = targets_of(self._texts, batch, device)
        loss = joint_loss(
            logits,
            targets,
            class_weights=self._class_weights,
            label_smoothing=config.label_smoothing,
        )
        for name, before in self._before.items():
            kept = distillation_loss(logits[name], before[batch], self._counts[name][batch])
            loss = loss + config.keep_weight * kept
        set_rates(self._optimiser, self._done, self.steps, config.warmup_share)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters.values(), 1.0)
        untouched = [
            (value, rows, value[rows].clone())
            for value in self.joint.linear.parameters()
            for rows in self._untaught
        ]
        self._optimiser.step()
        with torch.no_grad():
            # Weight decay shrinks rows that no text teaches; those of a frozen encoder must stay.
            for value, rows, before in untouched:
                value[rows] = before
        self._done += 1
        return float(loss.detach())

    def copy(self) -> dict[str, torch.Tensor]:
        """The trained parameters as they are now."""
        return {name: value.detach().clone() for name, value in self._parameters.items()}

    def use(self, parameters: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, value in parameters.items():
                self._parameters[name].copy_(value)

    def state(self, best: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Everything that a later process needs to go on, with the best parameters so far."""
        tensors = {"steps": torch.tensor(self._done)}
        for name, parameter in self._parameters.items():
            tensors |= {f"now.{name}": parameter, f"best.{name}": best[name]}
            # None of what no layer reads, such as XLNet's segments.
            moments = self._optimiser.state.get(parameter, {})
            tensors |= {f"{moment}.{name}": value for moment, value in moments.items()}
        return tensors

    def restore(self, state: State) -> dict[str, torch.Tensor]:
        """Take up a state that state() gave; returns its best parameters."""
        stored = state.tensors
        self.use({name: stored[f"now.{name}"] for name in self._parameters})
        for name, parameter in self._parameters.items():
            moments = {moment: stored.get(f"{moment}.{name}") for moment in MOMENTS}
            self._optimiser.state[parameter] = {
                moment: value if moment == "step" else value.to(parameter.device)
                for moment, value in moments.items()
                if value is not None
            }
        self._done = int(stored["steps"])
        return {name: stored[f"best.{name}"] for name in self._parameters}

    def _take(self, advice: Advice) -> None:
        for name, answers in advice.answers.items():
            self._before[name][advice.positions] = answers.to(self._before[name])
            self._counts[name][advice.positions] = 1.0

    def _pooled(self, batch: Sequence[int]) -> torch.Tensor:
        if self._vectors is not None:
            return self._vectors[list(batch)]
        ids, mask = self._encoder.pad([self._texts.tokens[position] for position in batch])
        if self._config.hide_share:
            ids = hide_tokens(ids, self._config.hide_share, self._encoder)
        with dropped(self._encoder, self._config.encoder_dropout):
            pooled: torch.Tensor = self._encoder(
                ids.to(self._encoder.device), mask.to(self._encoder.device)
            )
        return pooled


def set_rates(optimiser: torch.optim.Optimizer, step: int, steps: int, warmup_share: float) -> None:
    """The rates of one step: linear warm-up over a share of the steps, then cosine decay to 0."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        factor = (step + 1) / warmup
    else:
        factor = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
    for group in optimiser.param_groups:
        group["lr"] = group.setdefault("peak", group["lr"]) * factor
