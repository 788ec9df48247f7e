"""How good the shipped checkpoint is: figures of what was held out and of sets it never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import merge
from models.description import Checkpoint
from models.encoder import load_encoder
from models.predictor import TorchPredictor
from models.spec import DEFAULT_HEADS, Head
from trainer.data.dataset import Example, source_counts
from trainer.data.labelled_file import LabelledFile, read_labelled
from trainer.evaluate import evaluate_examples, find_head
from trainer.fitting.measure import exact_predictor

# Never trained on: their licences don't allow weights that ship.
ZERO_SHOT = {
    "phrasebank_dev": "sentiment",
    "tweeteval_sentiment_dev": "sentiment",
    "agnews_dev": "topic",
}


def metrics(
    checkpoint: Checkpoint,
    weights: Mapping[str, torch.Tensor],
    test: Sequence[Example],
    data: Path,
    say: Callable[[object], None],
) -> dict[str, Any]:
    """{"held out" or "zero shot": {"<set> <head>": {n, accuracy, macro_f1, ece, macro_recall}}}.

    And "reliability" by head, over all that is held out. The figures are those of the weights as
    they are stored, merged into a fresh encoder.
    """
    encoder = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    predictor = exact_predictor(encoder, merge(checkpoint, weights, encoder))
    held_out: dict[str, Any] = {}
    for source in sorted(source_counts(test)):
        for head in predictor.heads:
            own = [e for e in test if e.source == source and len(e.labels.get(head.name, ())) == 1]
            if own:
                held_out[f"{source} {head.name}"] = _figures(predictor, own, head, say)
    zero_shot: dict[str, Any] = {}
    for name, head_name in ZERO_SHOT.items():
        head = find_head(predictor.heads, head_name)
        zero_shot[f"{name} {head_name}"] = _figures(
            predictor, read_set(data, name, head_name), head, say
        )
    reliability = {
        head.name: evaluate_examples(
            predictor, [e for e in test if len(e.labels.get(head.name, ())) == 1], head
        )["reliability"]
        for head in predictor.heads
    }
    return {"held out": held_out, "zero shot": zero_shot, "reliability": reliability}


def read_set(data: Path, name: str, head_name: str) -> list[Example]:
    """A public set with the labels of one head, as the mappings beside it translate them."""
    head = find_head(DEFAULT_HEADS, head_name)
    file = LabelledFile(data / f"{name}.jsonl", mapping=data / "mappings.json")
    return read_labelled(file, head).examples


def _figures(
    predictor: TorchPredictor,
    examples: Sequence[Example],
    head: Head,
    say: Callable[[object], None],
) -> dict[str, Any]:
    figures = evaluate_examples(predictor, examples, head)
    recalls = [row["recall"] for row in figures["per_label"].values() if row["n"]]
    short = {key: figures[key] for key in ("n", "accuracy", "macro_f1", "ece")}
    short["macro_recall"] = sum(recalls) / len(recalls)
    rounded = {key: round(value, 4) for key, value in short.items()}
    say(f"{examples[0].source} {head.name}: {rounded}")
    return rounded
