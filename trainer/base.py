"""Rebuilds the shipped checkpoint: `python -m trainer.base --data DIR --output DIR`.

DIR holds the public sets named in SETS and mappings.json; models/base/MODEL_CARD.md says where they
come from. Our own sentences are in the package. Copy the two files of the output over models/base
once its figures are at least as good.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from models.checkpoint import Checkpoint, merge, read_checkpoint, write_checkpoint
from models.encoder import DEFAULT_ENCODER, MAX_TOKENS, load_encoder
from models.predictor import TorchPredictor
from models.spec import DEFAULT_HEADS, Head
from trainer import dataset
from trainer.calibrate import calibrate
from trainer.dataset import (
    Example,
    limit,
    read_examples,
    read_label_map,
    read_sentences,
    source_counts,
    split,
)
from trainer.evaluate import evaluate_examples
from trainer.fit import FitConfig, fit, held_out_logits

# Chinese sets may be trained on too, but the default encoder's vocabulary is English: it reads
# nearly every Chinese character as unknown, so they would only teach noise.
SETS = {
    "banking77_train": ("topic", "risk"),
    "tfn_topic_dev": ("topic",),
    "tfn_sentiment_dev": ("sentiment",),
    "cfpb_complaints_dev": ("topic", "risk"),
}
# Never trained on: their licences don't allow weights that ship.
ZERO_SHOT = {
    "phrasebank_dev": "sentiment",
    "tweeteval_sentiment_dev": "sentiment",
    "agnews_dev": "topic",
}
MOST_PER_SET = 8_000
TEST_SHARE = 0.1
VALIDATION_SHARE = 0.06
SENTENCES = Path(__file__).parent / "sentences"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m trainer.base", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    parser.add_argument("--output", type=Path, default=Path("out/base"), help="a new folder")
    parser.add_argument("--method", choices=("heads", "lora"), default="lora")
    parser.add_argument("--epochs", type=int)
    chosen = parser.parse_args(arguments)
    config = FitConfig(method=chosen.method)
    if chosen.method == "heads":
        config = dataclasses.replace(config, epochs=40, head_rate=1e-2)
    if chosen.epochs:
        config = dataclasses.replace(config, epochs=chosen.epochs)
    build(chosen.data, chosen.output, config)


def build(data: Path, output: Path, config: FitConfig) -> Checkpoint:
    """Fit, calibrate, judge and write the checkpoint; prints what it does."""
    examples = dataset.merge([*read_sentences(SENTENCES, DEFAULT_HEADS), *_public(data, SETS)])
    rest, test = split(examples, TEST_SHARE, salt="test")
    train, validation = split(rest, VALIDATION_SHARE, salt="validation")
    train = limit(train, MOST_PER_SET)
    counts = source_counts(train)
    _say(f"train {counts}, validation {len(validation)}, test {len(test)}")

    encoder = load_encoder()
    fingerprint = encoder.fingerprint()
    fitted = fit(encoder, DEFAULT_HEADS, train, validation, config, report=_say)
    logits, targets = held_out_logits(encoder, fitted.joint, validation)
    heads = tuple(calibrate(head, logits[head.name], targets[head.name]) for head in DEFAULT_HEADS)

    checkpoint = Checkpoint(
        name="base",
        encoder=DEFAULT_ENCODER,
        encoder_fingerprint=fingerprint,
        max_tokens=MAX_TOKENS,
        heads=heads,
        training={"config": dataclasses.asdict(config), "texts": counts},
    )
    metrics = _metrics(_predictor(checkpoint, fitted.weights), test, data)
    checkpoint = msgspec.structs.replace(checkpoint, metrics=metrics)
    checkpoint = write_checkpoint(output, checkpoint, fitted.weights)
    read_checkpoint(output)
    _say(f"{output}: {checkpoint.version}")
    return checkpoint


def _public(data: Path, sets: dict[str, tuple[str, ...]]) -> list[Example]:
    examples = []
    for name, heads in sets.items():
        for head in heads:
            examples += _read(data, name, _head(head))
    return examples


def _read(data: Path, name: str, head: Head) -> list[Example]:
    label_map = read_label_map(data / "mappings.json", head.name, name)
    return read_examples(data / f"{name}.jsonl", head, label_map=label_map)


def _predictor(checkpoint: Checkpoint, weights: dict[str, torch.Tensor]) -> TorchPredictor:
    # A fresh encoder with the stored weights merged: the figures are those of what is shipped.
    encoder = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    heads = merge(checkpoint, weights, encoder)
    cpu = torch.device("cpu")
    threads = torch.get_num_threads()
    return TorchPredictor(
        encoder, heads, version="base", device=cpu, precision="fp32", threads=threads
    )


def _metrics(predictor: TorchPredictor, test: Sequence[Example], data: Path) -> dict[str, Any]:
    """{"held out" or "zero shot": {"<set> <head>": {n, accuracy, macro_f1, ece, macro_recall}}}."""
    held_out: dict[str, Any] = {}
    for source in sorted(source_counts(test)):
        for head in predictor.heads:
            own = [e for e in test if e.source == source and len(e.labels.get(head.name, ())) == 1]
            if own:
                held_out[f"{source} {head.name}"] = _figures(predictor, own, head)
    zero_shot: dict[str, Any] = {}
    for name, head_name in ZERO_SHOT.items():
        head = _head(head_name)
        zero_shot[f"{name} {head_name}"] = _figures(predictor, _read(data, name, head), head)
    return {"held out": held_out, "zero shot": zero_shot}


def _figures(predictor: TorchPredictor, examples: Sequence[Example], head: Head) -> dict[str, Any]:
    figures = evaluate_examples(predictor, examples, head)
    recalls = [row["recall"] for row in figures["per_label"].values() if row["n"]]
    short = {key: figures[key] for key in ("n", "accuracy", "macro_f1", "ece")}
    short["macro_recall"] = sum(recalls) / len(recalls)
    _say(f"{examples[0].source} {head.name}: {json.dumps(_rounded(short))}")
    return _rounded(short)


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in figures.items()}


def _head(name: str) -> Head:
    return next(head for head in DEFAULT_HEADS if head.name == name)


def _say(line: object) -> None:
    print(line, flush=True)  # noqa: T201 - a script that a person watches


if __name__ == "__main__":
    main()
