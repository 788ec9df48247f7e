"""Rebuilds the shipped checkpoint: `python -m trainer.base --data DIR --output DIR`.

DIR holds the public sets named in SETS and mappings.json; models/base/MODEL_CARD.md says where they
come from. Our own sentences are in the package. Copy the two files of the output over models/base
once its figures are at least as good.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

from models.checkpoint import merge, read_checkpoint, write_checkpoint
from models.description import Checkpoint
from models.encoder import DEFAULT_ENCODER, MAX_TOKENS, load_encoder
from models.predictor import TorchPredictor, choose_device, load_predictor
from models.spec import DEFAULT_HEADS, Head
from trainer import dataset
from trainer.adapters import compress
from trainer.calibrate import calibrate
from trainer.dataset import (
    Example,
    read_examples,
    read_label_map,
    read_sentences,
    source_counts,
    split,
)
from trainer.evaluate import evaluate_examples
from trainer.fit import Watch, fit
from trainer.learner import FitConfig, bf16_helps
from trainer.measure import held_out_logits
from trainer.pseudo import fill_in
from trainer.resume import unfinished

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
TEST_SHARE = 0.1
VALIDATION_SHARE = 0.06
SENTENCES = Path(__file__).parent / "sentences"


# Chosen on the validation part; what each is for stands at FitConfig.
CONFIG = FitConfig(
    method="full",
    epochs=4,
    batch_size=48,
    encoder_rate=1.5e-4,
    hide_share=0.1,
    class_balance=0.3,
    sampling_power=0.7,
)
# Going on from a checkpoint, a fit of few texts that must not undo what the many taught.
PARENT_RATE = 6e-5
PARENT_HEAD_RATE = 1e-3
# The encoder's difference, cut to this rank, is a tenth of its size and answers the same.
RANK = 64


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m trainer.base", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    parser.add_argument("--output", type=Path, default=Path("out/base"), help="a new folder")
    parser.add_argument("--epochs", type=int, default=CONFIG.epochs)
    parser.add_argument("--teacher", type=Path, help="a checkpoint that labels what has no label")
    parser.add_argument("--parent", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--texts", type=int, help="learn from at most so many of each source")
    chosen = parser.parse_args(arguments)
    config = dataclasses.replace(
        CONFIG, epochs=chosen.epochs, bf16=bf16_helps(choose_device("auto"))
    )
    if chosen.parent:
        config = dataclasses.replace(config, encoder_rate=PARENT_RATE, head_rate=PARENT_HEAD_RATE)
    build(
        chosen.data,
        chosen.output,
        config,
        teacher=chosen.teacher,
        parent=chosen.parent,
        most=chosen.texts,
    )


def build(
    data: Path,
    output: Path,
    config: FitConfig,
    *,
    teacher: Path | None,
    parent: Path | None,
    most: int | None,
) -> Checkpoint:
    """Fit, cut to RANK, calibrate, judge and write the checkpoint; prints what it does.

    A parent is taught what is new to it: answers that a text has no label for stay as they were.
    most is how many texts of each source it is taught.
    """
    examples = dataset.merge([*read_sentences(SENTENCES, DEFAULT_HEADS), *_public(data, SETS)])
    rest, test = split(examples, TEST_SHARE, salt="test")
    train, validation = split(rest, VALIDATION_SHARE, salt="validation")
    if most:
        train = _at_most(most, train)
    if teacher:
        train = _taught(train, teacher)
    counts = source_counts(train)
    _say(f"train {counts}, validation {len(validation)}, test {len(test)}")

    encoder = load_encoder()
    fingerprint = encoder.fingerprint()
    before = {name: value.clone() for name, value in encoder.model.named_parameters()}
    known = merge(*read_checkpoint(parent), encoder) if parent else None
    fitted = fit(
        encoder,
        DEFAULT_HEADS,
        train,
        validation,
        config,
        known=known,
        watch=Watch(epoch=_say),
        state_file=unfinished(output),
        identity=f"{config} {counts} {teacher and teacher.name} {parent and parent.name}",
    )
    trained = {name: p for name, p in encoder.model.named_parameters() if p.requires_grad}
    weights = {name: value for name, value in fitted.weights.items() if name.startswith("heads.")}
    weights |= compress(before, trained, RANK)

    checkpoint = Checkpoint(
        name="base",
        encoder=DEFAULT_ENCODER,
        encoder_fingerprint=fingerprint,
        max_tokens=MAX_TOKENS,
        heads=DEFAULT_HEADS,
        training={
            "config": dataclasses.asdict(config) | {"rank": RANK},
            "texts": counts,
            "teacher": read_checkpoint(teacher)[0].version if teacher else "",
            "parent": read_checkpoint(parent)[0].version if parent else "",
            "epochs": [epoch.rounded() for epoch in fitted.epochs],
        },
    )
    encoder = load_encoder(DEFAULT_ENCODER)
    logits, targets = held_out_logits(encoder, merge(checkpoint, weights, encoder), validation)
    kinds = [example.kind for example in validation]
    heads = tuple(
        calibrate(head, logits[head.name], targets[head.name], kinds) for head in DEFAULT_HEADS
    )
    checkpoint = msgspec.structs.replace(checkpoint, heads=heads)
    metrics = _metrics(_predictor(checkpoint, weights), test, data)
    checkpoint = msgspec.structs.replace(checkpoint, metrics=metrics)
    checkpoint = write_checkpoint(output, checkpoint, weights)
    read_checkpoint(output)
    unfinished(output).unlink(missing_ok=True)
    _say(f"{output}: {checkpoint.version}")
    return checkpoint


def _at_most(most: int, train: Sequence[Example]) -> list[Example]:
    taken: Counter[str] = Counter()
    few = []
    draw = random.Random(CONFIG.seed)  # noqa: S311 - a reproducible choice, no secret
    for example in draw.sample(train, len(train)):
        if taken[example.source] < most:
            taken[example.source] += 1
            few.append(example)
    return few


def _taught(train: Sequence[Example], teacher: Path) -> list[Example]:
    """Texts with the labels they lack, where the teacher is sure of them."""
    predictor = load_predictor(teacher, precision="fp32")
    taught, reports = fill_in(predictor, train)
    for report in reports:
        _say(f"teacher: {report}")
    return taught


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
    """{"held out" or "zero shot": {"<set> <head>": {n, accuracy, macro_f1, ece, macro_recall}}}.

    And "reliability" by head, over all that is held out.
    """
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
    reliability = {
        head.name: evaluate_examples(
            predictor, [e for e in test if len(e.labels.get(head.name, ())) == 1], head
        )["reliability"]
        for head in predictor.heads
    }
    return {"held out": held_out, "zero shot": zero_shot, "reliability": reliability}


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
