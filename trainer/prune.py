"""Attention heads that the answers hardly rest on, left out of a model; refused if that costs much.

A head matters as much as the loss would change without it, to first order: its output times the
gradient there (Michel, Levy and Neubig 2019, "Are Sixteen Heads Really Better than One?"). What is
written is a checkpoint like any other, in which the weights that read those heads are zero:
models/packed.py does not compute them, every other path multiplies them by nothing.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from models.checkpoint import LOW_RANK, REPLACED, merge, write_checkpoint
from models.description import Checkpoint
from models.encoder import Encoder, load_encoder
from models.encoder_files import is_plain
from models.forward_paths import candidates
from models.heads import MISSING, JointHeads, joint_loss
from models.predictor import TorchPredictor
from models.spec import Head, Scores
from trainer.data.dataset import Example, split
from trainer.errors import EvaluateError
from trainer.evaluate import evaluate, score_texts
from trainer.fitting.batches import Texts
from trainer.fitting.measure import targets_of

BATCH_TEXTS = 16
# More say the same, and take longer.
MOST_CHOOSING = 1_000
MOST_TIMED = 256
JUDGED_SHARE = 0.5
LEAST_JUDGED = 50
ROUNDS = 3
OUTPUT = "encoder.layer.{}.attention.output.dense"


class Way(NamedTuple):
    """One forward path of one model on the texts that judge.

    changed is, by head, the share of the exact whole model's answers (abstentions aside) that are
    others here; texts_per_s the median of ROUNDS rounds in turn.
    """

    pruned: bool
    path: str
    accuracy: float
    ece: float
    changed: dict[str, float]
    texts_per_s: float


class Pruned(NamedTuple):
    """What was left out, as (layer, head) from 0, and what it did, the exact whole model first."""

    checkpoint: Checkpoint
    left_out: list[tuple[int, int]]
    ways: list[Way]


def prune(
    checkpoint: Checkpoint,
    weights: Mapping[str, torch.Tensor],
    output: Path,
    examples: Sequence[Example],
    head: Head,
    *,
    share: float,
    max_loss: float,
    encoder: str | None = None,
) -> Pruned:
    """Leave out that share (0 to 1) of a checkpoint's attention heads and write it to output.

    Half of the examples, by stable hash, says which heads matter, the other half judges. Raises
    EvaluateError, and writes nothing, when head's accuracy falls by more than max_loss, when more
    than max_loss of what another head answers changes, when output exists, or when there is too
    little to judge by.
    """
    if output.exists():
        raise EvaluateError(f"--output {output}: already exists; choose a new folder")
    chosen_by, judged_by = split(examples, JUDGED_SHARE, salt="prune")
    if len(judged_by) < LEAST_JUDGED or not chosen_by:
        raise EvaluateError(
            f"{len(examples)} labelled texts are too few: one half chooses the heads and the other "
            f"judges; give {3 * LEAST_JUDGED} or more"
        )
    base, joint = _merged(checkpoint, weights, encoder)
    if not is_plain(base.config):
        raise EvaluateError(
            f"the encoder of {checkpoint.version} is not of BERT's or RoBERTa's kind; "
            "with fewer heads it would not be faster"
        )
    left_out = _least(importance(base, joint, chosen_by[:MOST_CHOOSING]), share)
    without = _without(weights, base, left_out)
    whole = _predictors(base, joint, checkpoint.version)
    less = _predictors(*_merged(checkpoint, without, encoder), checkpoint.version)
    ways = _compare(whole, less, judged_by, head)
    _refuse(ways, head, max_loss)
    # Those of a fast fit would send the next fits to its root, whose encoder is whole; without them
    # a version is a root of its own.
    former = checkpoint.training.items()
    training = {name: value for name, value in former if name not in {"speed", "root"}}
    described = msgspec.structs.replace(
        checkpoint,
        training=training
        | {"parent": checkpoint.version, "heads_left_out": [list(one) for one in left_out]},
        metrics=checkpoint.metrics | {"pruned": [way._asdict() for way in ways]},
    )
    return Pruned(write_checkpoint(output, described, without), left_out, ways)


def importance(encoder: Encoder, joint: JointHeads, examples: Sequence[Example]) -> torch.Tensor:
    """(layers, heads): how much the loss rests on each attention head, of norm 1 a layer.

    Where an example has no label for a head of the model, the model's own answer stands for it.
    """
    texts = Texts(examples, encoder, joint.heads, encoder.max_tokens)
    layers, heads = (
        int(encoder.config[name]) for name in ("num_hidden_layers", "num_attention_heads")
    )
    encoder.model.requires_grad_(False)
    outputs = [encoder.model.get_parameter(f"{OUTPUT.format(at)}.weight") for at in range(layers)]
    for weight in outputs:
        weight.requires_grad_(True)
    found = torch.zeros(layers, heads)
    for batch in _batches(texts):
        logits = joint(encoder.pool([texts.tokens[at] for at in batch]))
        targets = targets_of(texts, batch, encoder.device)
        for name, values in logits.items():
            own = values.detach().argmax(1)
            targets[name] = torch.where(targets[name] == MISSING, own, targets[name])
        gradients = torch.autograd.grad(joint_loss(logits, targets), outputs)
        for at, (weight, gradient) in enumerate(zip(outputs, gradients, strict=True)):
            of_heads = (weight.detach() * gradient).view(len(weight), heads, -1)
            found[at] += of_heads.sum((0, 2)).abs().cpu()
    for weight in outputs:
        weight.requires_grad_(False)
    norms = torch.linalg.vector_norm(found, dim=1, keepdim=True)
    normed: torch.Tensor = found / norms.clamp(min=torch.finfo(torch.float32).tiny)
    return normed


def _batches(texts: Texts) -> Iterator[list[int]]:
    order = sorted(range(len(texts)), key=lambda at: len(texts.tokens[at]))
    for start in range(0, len(order), BATCH_TEXTS):
        yield order[start : start + BATCH_TEXTS]


def _least(found: torch.Tensor, share: float) -> list[tuple[int, int]]:
    """The (layer, head) of least importance, that share of all; each layer keeps one at least."""
    layers, heads = found.shape
    best = set(enumerate(found.argmax(1).tolist()))
    places = [(layer, head) for layer in range(layers) for head in range(heads)]
    places.sort(key=lambda place: float(found[place]))
    spare = [place for place in places if place not in best]
    return sorted(spare[: round(share * layers * heads)])


def _without(
    weights: Mapping[str, torch.Tensor], merged: Encoder, left_out: Sequence[tuple[int, int]]
) -> dict[str, torch.Tensor]:
    """The checkpoint's weights, with zeros where outputs of those heads are read."""
    changed = dict(weights)
    size = merged.hidden // int(merged.config["num_attention_heads"])
    for layer in sorted({layer for layer, _ in left_out}):
        module = OUTPUT.format(layer)
        weight = merged.weights[f"{module}.weight"].detach().clone()
        for head in (head for at, head in left_out if at == layer):
            weight[:, head * size : (head + 1) * size] = 0
        changed[f"{REPLACED}{module}.weight"] = weight.half()
        for part in ("a", "b"):
            changed.pop(f"{LOW_RANK}{module}.{part}", None)
    return changed


def _merged(
    checkpoint: Checkpoint, weights: Mapping[str, torch.Tensor], encoder: str | None
) -> tuple[Encoder, JointHeads]:
    base = load_encoder(encoder or checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    return base, merge(checkpoint, weights, base)


def _predictors(encoder: Encoder, joint: JointHeads, version: str) -> list[TorchPredictor]:
    """The model on each packed path that this CPU has, the exact one first."""
    cpu = torch.device("cpu")
    return [
        TorchPredictor(encoder, joint, version=version, device=cpu, path=path)
        for path in candidates(encoder, "auto")
    ]


def _compare(
    whole: Sequence[TorchPredictor],
    less: Sequence[TorchPredictor],
    examples: Sequence[Example],
    head: Head,
) -> list[Way]:
    texts = [example.text for example in examples]
    kinds = [example.kind for example in examples]
    models = [*((False, one) for one in whole), *((True, one) for one in less)]
    answers = [score_texts(predictor, texts, kinds) for _, predictor in models]
    rates: list[list[float]] = [[] for _ in models]
    for _ in range(ROUNDS):
        for (_, predictor), own in zip(models, rates, strict=True):
            began = time.perf_counter()
            score_texts(predictor, texts[:MOST_TIMED])
            own.append(len(texts[:MOST_TIMED]) / (time.perf_counter() - began))
    ways = []
    for (pruned, predictor), scores, own in zip(models, answers, rates, strict=True):
        figures = evaluate(
            head.labels,
            [example.labels[head.name] for example in examples],
            [list(score[head.name].scores.values()) for score in scores],
        )
        ways.append(
            Way(
                pruned,
                str(predictor.path),
                round(figures["accuracy"], 4),
                round(figures["ece"], 4),
                _changed(answers[0], scores),
                round(statistics.median(own), 1),
            )
        )
    return ways


def _changed(before: Sequence[Scores], after: Sequence[Scores]) -> dict[str, float]:
    changed = {}
    for name in before[0]:
        pairs = [
            (one[name].label, two[name].label)
            for one, two in zip(before, after, strict=True)
            if not one[name].abstained
        ]
        others = sum(one != two for one, two in pairs)
        changed[name] = round(others / len(pairs), 4) if pairs else 0.0
    return changed


def _refuse(ways: Sequence[Way], head: Head, max_loss: float) -> None:
    """Raises EvaluateError where the pruned model, computed exactly, is not nearly as good."""
    first = ways[0]
    pruned = next(way for way in ways if way.pruned)
    faults = []
    # As both are rounded, so is what lies between them: 0.81 less 0.8 is a little more than 0.01.
    if (lost := round(first.accuracy - pruned.accuracy, 4)) > max_loss:
        faults.append(
            f"accuracy of {head.name} falls from {first.accuracy:.3f} to {pruned.accuracy:.3f}, "
            f"by {lost:.3f}"
        )
    faults += [
        f"{share:.1%} of what {name} answers changes"
        for name, share in pruned.changed.items()
        if name != head.name and share > max_loss
    ]
    if faults:
        raise EvaluateError(
            f"refused, nothing was written: {'; '.join(faults)}; "
            f"--max-loss allows {max_loss:g}: leave out a smaller --share"
        )
