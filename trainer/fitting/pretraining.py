"""Domain-adaptive pre-training: masked language modelling on texts without labels.

Devlin et al. 2019, "BERT"; Gururangan et al. 2020, "Don't Stop Pretraining".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling
from torch import nn

from models.encoder import Encoder
from trainer.data.dataset import Example
from trainer.errors import FitError
from trainer.fitting.adapters import difference, unfreeze
from trainer.fitting.batches import Texts, batches, hide_tokens
from trainer.fitting.config import FitConfig
from trainer.fitting.learner import set_rates
from trainer.fitting.measure import OnStep

HIDDEN_SHARE = 0.15
LEAST_TEXTS = 32


@dataclass(frozen=True)
class Adapted:
    """The encoder's difference as models.checkpoint stores it, and each epoch's mean loss."""

    weights: dict[str, torch.Tensor]
    losses: list[float]

    def __str__(self) -> str:
        losses = ", ".join(f"{loss:.3f}" for loss in self.losses)
        return f"adapted to the unlabelled texts, loss by epoch {losses}"


def adapt(
    encoder: Encoder,
    texts: Sequence[str],
    config: FitConfig,
    *,
    epochs: int,
    step: OnStep = lambda _done, _of, _loss: None,
) -> Adapted:
    """Train all layers above the embeddings, in place, to guess 15 % hidden tokens of the texts.

    The guesses are read off the word embeddings themselves, through one new layer that is thrown
    away afterwards. Raises FitError for fewer than 32 texts.
    """
    if len(texts) < LEAST_TEXTS:
        raise FitError(
            f"--unlabelled: {len(texts)} texts are too few to adapt to; give at least {LEAST_TEXTS}"
        )
    torch.manual_seed(config.seed)
    read = Texts(
        [Example(text, "unlabelled", {}) for text in texts], encoder, (), config.max_tokens
    )
    trained = unfreeze(encoder, "full", rank=0, alpha=0)
    embeddings = next(encoder.model.get_input_embeddings().parameters())
    guess = nn.Sequential(
        nn.Linear(encoder.hidden, encoder.hidden), nn.GELU(), nn.LayerNorm(encoder.hidden)
    ).to(encoder.device)
    bias = nn.Parameter(torch.zeros(len(embeddings), device=encoder.device))
    parameters = [*trained.values(), *guess.parameters(), bias]
    optimiser = torch.optim.AdamW(parameters, lr=config.encoder_rate)
    planned = [
        list(batches(read, batch_size=config.batch_size, sampling_power=1.0, seed=f"adapt {n}"))
        for n in range(epochs)
    ]
    of = sum(map(len, planned))
    losses: list[float] = []
    done = 0
    for epoch in planned:
        total = 0.0
        for batch in epoch:
            ids, mask = encoder.pad([read.tokens[at] for at in batch])
            shown = hide_tokens(ids, HIDDEN_SHARE, encoder)
            hidden = shown != ids
            if not hidden.any():
                continue
            with torch.autocast(encoder.device.type, torch.bfloat16, enabled=config.bf16):
                states = encoder.states(shown.to(encoder.device), mask.to(encoder.device))
                logits = guess(states[hidden.to(encoder.device)]) @ embeddings.T + bias
            loss = F.cross_entropy(logits.float(), ids[hidden].to(encoder.device))
            set_rates(optimiser, done, of, config.warmup_share)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            total += float(loss.detach())
            done += 1
            step(done, of, float(loss.detach()))
        losses.append(total / len(epoch))
    return Adapted(difference(encoder, "full"), losses)
