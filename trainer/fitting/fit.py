"""Fine-tuning: heads alone, with low-rank adapters, or the whole encoder, on labelled texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from models.checkpoint import stored_heads
from models.encoder import Encoder
from models.heads import JointHeads
from models.spec import Head
from trainer.data.dataset import Example
from trainer.errors import DivergedError, FitError
from trainer.fitting.adapters import difference
from trainer.fitting.batches import Texts, batches
from trainer.fitting.config import FitConfig
from trainer.fitting.learner import Advice, Learner
from trainer.fitting.measure import Epoch, OnStep, measure_epoch, pooled_vectors
from trainer.fitting.resume import State, read_state, write_state


@dataclass(frozen=True)
class Fitted:
    """The fitted heads, all weights as models.checkpoint stores them, the epochs, and the one kept.

    Where the encoder was trained, weights hold its difference to the encoder that fit() was given.
    """

    joint: JointHeads
    weights: dict[str, torch.Tensor]
    epochs: list[Epoch]
    chosen: Epoch


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told what while a fit runs: each epoch, and each step as (done, of how many, loss)."""

    epoch: Callable[[Epoch], None] = lambda _epoch: None
    step: OnStep = lambda _done, _of, _loss: None


def fit(
    encoder: Encoder,
    heads: Sequence[Head],
    train: Sequence[Example],
    validation: Sequence[Example],
    config: FitConfig,
    *,
    known: JointHeads | None = None,
    teacher: Encoder | None = None,
    advice: Advice | None = None,
    watch: Watch | None = None,
    state_file: Path | None = None,
    identity: str = "",
) -> Fitted:
    """Fit heads, and the encoder in place unless the method is heads.

    known are heads that this encoder already serves. Those of them among heads start from what they
    know. Where the encoder changes, those without a label in a text learn to answer as before
    (learning without forgetting, Li and Hoiem 2016), and heads new to it start from a linear probe;
    where it does not, those it has stay bit for bit.
    teacher is the encoder that known was fitted on, if encoder has been adapted since. advice is of
    texts in train, about heads that known has too: their answers are learnt beside the labels
    (Clark et al. 2019, "BAM! Born-Again Multi-Task Networks").
    After each epoch the state goes to state_file, and a later call with the same identity (whatever
    names data, parent and config) goes on from there. Raises FitError when no validation
    text has a label, and DivergedError when the loss becomes no number.
    """
    watch = watch or Watch()
    if not any(example.labels for example in validation):
        raise FitError("no text is left to validate with; give more labelled texts")
    torch.manual_seed(config.seed)
    texts = Texts(train, encoder, heads, config.max_tokens)
    held_out = Texts(validation, encoder, heads, encoder.max_tokens)
    steps_per_epoch = len(_batches(texts, config, 1))
    learner = Learner(
        encoder,
        texts,
        heads,
        config,
        known=known,
        teacher=teacher,
        advice=advice,
        steps=config.epochs * steps_per_epoch,
    )
    vectors = pooled_vectors(encoder, held_out.tokens, bf16=config.bf16)
    judging = min(filter(None, (sum(held_out.counts(head)) for head in heads)))
    epochs: list[Epoch] = []
    best: dict[str, torch.Tensor] = {}
    if state_file and (state := read_state(state_file, same={"identity": identity})):
        epochs = [Epoch(**epoch) for epoch in state.facts["epochs"]]
        best = learner.restore(state)

    for number in range(len(epochs) + 1, config.epochs + 1):
        if _stale(epochs, config.patience):
            break
        # Seeded by the epoch, so that a resumed fit draws what an uninterrupted one would have.
        torch.manual_seed(config.seed + number)
        losses = []
        for batch in _batches(texts, config, number):
            losses.append(learner.step(batch))
            watch.step((number - 1) * steps_per_epoch + len(losses), learner.steps, losses[-1])
        if not learner.frozen:
            vectors = pooled_vectors(encoder, held_out.tokens, bf16=config.bf16)
        epoch = measure_epoch(number, sum(losses) / len(losses), learner.joint, vectors, held_out)
        if not math.isfinite(epoch.train_loss + epoch.val_loss):
            raise DivergedError(
                f"the fit diverged in epoch {number}: its loss is no number any more; choose a "
                "lower --rate"
            )
        epochs.append(epoch)
        if _chosen(epochs, judging) is epoch:
            best = learner.copy()
        if state_file:
            facts = {"identity": identity, "epochs": [one.to_dict() for one in epochs]}
            write_state(state_file, State(learner.state(best), facts))
        # Who stops a fit because of what it says of an epoch must not lose that epoch.
        watch.epoch(epoch)

    learner.use(best)
    weights = stored_heads(learner.joint) | difference(encoder, config.method)
    weights = {name: value.cpu() for name, value in weights.items()}
    return Fitted(learner.joint, weights, epochs, _chosen(epochs, judging))


def _merit(epoch: Epoch) -> float:
    return sum(epoch.accuracy.values()) / len(epoch.accuracy)


def _chosen(epochs: Sequence[Epoch], texts: int) -> Epoch:
    """The latest that was, within a standard error, as good as any before it.

    So many texts can't tell more apart, and of equals the one with the lowest rate behind it does
    better on texts that were not asked.
    """
    best, chosen = 0.0, epochs[0]
    for epoch in epochs:
        best = max(best, _merit(epoch))
        if _merit(epoch) >= best - math.sqrt(best * (1 - best) / texts):
            chosen = epoch
    return chosen


def _stale(epochs: Sequence[Epoch], patience: int) -> bool:
    merits = [_merit(epoch) for epoch in epochs]
    return bool(patience and merits) and len(merits) - 1 - merits.index(max(merits)) >= patience


def _batches(texts: Texts, config: FitConfig, number: int) -> list[list[int]]:
    return list(
        batches(
            texts,
            batch_size=config.batch_size,
            sampling_power=config.sampling_power,
            seed=f"{config.seed} {number}",
        )
    )
