"""Rebuilds the shipped checkpoint: `python -m trainer.base --data DIR --output DIR`.

DIR holds the public sets named in SETS and mappings.json; models/base/MODEL_CARD.md says where they
come from. Our own sentences are in the package. It is made in STAGES, each a checkpoint beside the
output, and is their average, whose risk head then learns the sentences of urgent.py. A stage whose
folder is there already is not fitted again, nor are those before an average that is there.
Copy the two files of the output over models/base once its figures are at least as good.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch

from models.atomic_files import remove_whole
from models.checkpoint import HEADS, merge, read_checkpoint, write_checkpoint
from models.description import Checkpoint
from models.encoder import DEFAULT_ENCODER, MAX_TOKENS, Encoder, load_encoder
from models.predictor import choose_device
from models.spec import DEFAULT_HEADS
from trainer.base.figures import metrics, read_set
from trainer.base.soup import average
from trainer.base.urgent import HEAD, teach_urgency
from trainer.data import dataset
from trainer.data.dataset import SENTENCES, Example, read_sentences, source_counts, split
from trainer.fitting.adapters import compress
from trainer.fitting.batches import Texts
from trainer.fitting.calibrate import calibrate
from trainer.fitting.config import FitConfig, bf16_helps
from trainer.fitting.fit import Watch, fit
from trainer.fitting.learner import Advice
from trainer.fitting.measure import held_out_logits, pooled_vectors
from trainer.fitting.resume import state_path

# Chinese sets may be trained on too, but the default encoder's vocabulary is English: it reads
# nearly every Chinese character as unknown, so they would only teach noise.
SETS = {
    "banking77_train": ("topic", "risk"),
    "tfn_topic_dev": ("topic",),
    "tfn_sentiment_dev": ("sentiment",),
    "cfpb_complaints_dev": ("topic", "risk"),
}
FEEDS = ("tfn_topic_dev", "tfn_sentiment_dev")
"""What a specialist is taught alone; what it says of them is learnt beside their labels."""
TEST_SHARE = 0.1
VALIDATION_SHARE = 0.06

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
# The encoder's difference, cut to this rank, is a tenth of its size and answers the same.
RANK = 64


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One fit: what it goes on from, which sources it learns from, and its share of the average.

    With a specialist, texts of FEEDS also learn its answers. most limits the texts of each public
    set; our own sentences are taken whole.
    """

    name: str
    config: FitConfig = CONFIG
    parent: str = ""
    specialist: str = ""
    only: tuple[str, ...] = ()
    most: int = 0
    share: float = 0.0


STAGES = (
    Stage(name="all"),
    Stage(name="feeds", only=FEEDS, config=dataclasses.replace(CONFIG, epochs=3)),
    Stage(
        name="advised",
        parent="all",
        specialist="feeds",
        config=dataclasses.replace(CONFIG, encoder_rate=1e-4, head_rate=2e-3),
        share=0.3,
    ),
    Stage(
        name="own",
        parent="all",
        most=2_500,
        config=dataclasses.replace(
            CONFIG, epochs=2, encoder_rate=8e-5, head_rate=1e-3, sampling_power=1.0
        ),
        share=0.7,
    ),
)

AVERAGE = "average"


@dataclass(frozen=True)
class Parts:
    train: list[Example]
    validation: list[Example]
    test: list[Example]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m trainer.base", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    parser.add_argument("--output", type=Path, default=Path("out/base"), help="a new folder")
    parser.add_argument(
        "--texts", type=int, help="for a trial: learn from at most so many of each source"
    )
    chosen = parser.parse_args(arguments)
    build(chosen.data, chosen.output, trial=chosen.texts)


def build(data: Path, output: Path, *, trial: int | None = None) -> Checkpoint:
    """Fit the stages, average, calibrate, judge and write the checkpoint; prints what it does."""
    parts = _parts(data)
    if trial:
        parts = Parts(*(_at_most(trial, part) for part in vars(parts).values()))
    names = [AVERAGE, *(stage.name for stage in STAGES)]
    folders = {name: output.with_name(f"{output.name}.{name}") for name in names}
    if not folders[AVERAGE].exists():
        for stage in STAGES:
            if not folders[stage.name].exists():
                _fit_stage(stage, folders, parts)
        shares = {folders[stage.name]: stage.share for stage in STAGES if stage.share}
        joined = average(shares, RANK)
        made = _calibrated(_checkpoint(AVERAGE, _history(folders)), joined, parts.validation)
        write_checkpoint(folders[AVERAGE], made, joined)
    averaged, weights = read_checkpoint(folders[AVERAGE])
    urgent = teach_urgency(averaged, weights, parts.train, max_tokens=CONFIG.max_tokens)
    training = averaged.training | {"urgent sentences": urgent}
    checkpoint = msgspec.structs.replace(averaged, name="base", training=training)
    checkpoint = _calibrated(checkpoint, weights, parts.validation, only=HEAD)
    figures = metrics(checkpoint, weights, parts.test, data, _say)
    checkpoint = msgspec.structs.replace(checkpoint, metrics=figures)
    checkpoint = write_checkpoint(output, checkpoint, weights)
    _say(f"{output}: {checkpoint.version}")
    return checkpoint


def _history(folders: dict[str, Path]) -> dict[str, Any]:
    """How the average came about; config and epochs are those of the last stage."""
    made = {stage.name: read_checkpoint(folders[stage.name])[0] for stage in STAGES}
    texts: dict[str, int] = {}
    for one in made.values():
        for source, count in one.training["texts"].items():
            texts[source] = max(count, texts.get(source, 0))
    last = made[STAGES[-1].name].training
    return {
        "average": {stage.name: stage.share for stage in STAGES if stage.share},
        "stages": {name: one.version for name, one in made.items()},
        "texts": texts,
        "config": last["config"],
        "epochs": last["epochs"],
    }


def _parts(data: Path) -> Parts:
    public = [
        example
        for name, heads in SETS.items()
        for head in heads
        for example in read_set(data, name, head)
    ]
    examples = dataset.merge([*read_sentences(SENTENCES, DEFAULT_HEADS), *public])
    rest, test = split(examples, TEST_SHARE, salt="test")
    train, validation = split(rest, VALIDATION_SHARE, salt="validation")
    return Parts(train, validation, test)


def _fit_stage(stage: Stage, folders: dict[str, Path], parts: Parts) -> None:
    """One stage as a checkpoint of its own, without figures."""
    train, validation = (_of(stage.only, part) for part in (parts.train, parts.validation))
    if stage.most:
        own = [example for example in train if example.source not in SETS]
        train = own + _at_most(stage.most, [one for one in train if one.source in SETS])
    counts = source_counts(train)
    _say(f"{stage.name}: train {counts}, validation {len(validation)}")
    device = choose_device("auto")
    config = dataclasses.replace(stage.config, bf16=bf16_helps(device))
    encoder = load_encoder()
    bare = {name: value.clone() for name, value in encoder.model.named_parameters()}
    known = merge(*read_checkpoint(folders[stage.parent]), encoder) if stage.parent else None
    encoder.to(device)
    if known:
        known.to(device)
    advice = _advice(folders[stage.specialist], encoder, train) if stage.specialist else None
    state_file = state_path(folders[stage.name])
    fitted = fit(
        encoder,
        DEFAULT_HEADS,
        train,
        validation,
        config,
        known=known,
        advice=advice,
        watch=Watch(epoch=_say),
        state_file=state_file,
        identity=f"{dataclasses.replace(stage, config=config)} {counts}",
    )
    encoder.to("cpu")
    trained = {name: p for name, p in encoder.model.named_parameters() if p.requires_grad}
    weights = {name: value for name, value in fitted.weights.items() if name.startswith(HEADS)}
    weights |= compress(bare, trained, RANK)
    training = {
        "config": dataclasses.asdict(config) | {"rank": RANK},
        "texts": counts,
        "parent": stage.parent,
        "specialist": stage.specialist,
        "epochs": [epoch.rounded() for epoch in fitted.epochs],
    }
    write_checkpoint(folders[stage.name], _checkpoint(stage.name, training), weights)
    remove_whole(state_file)


def _advice(specialist: Path, encoder: Encoder, train: Sequence[Example]) -> Advice:
    """What it says of the texts of FEEDS, about the heads that these have labels for."""
    checkpoint, weights = read_checkpoint(specialist)
    own = load_encoder(checkpoint.encoder, max_tokens=encoder.max_tokens)
    joint = merge(checkpoint, weights, own).to(encoder.device)
    own.to(encoder.device)
    positions = [at for at, example in enumerate(train) if example.source in FEEDS]
    heads = {head for name in FEEDS for head in SETS[name]}
    texts = Texts([train[at] for at in positions], own, DEFAULT_HEADS, CONFIG.max_tokens)
    with torch.inference_mode():
        answers = joint(pooled_vectors(own, texts.tokens))
    return Advice(positions, {name: answers[name].clone() for name in heads})


def _checkpoint(name: str, training: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        name=name,
        encoder=DEFAULT_ENCODER,
        encoder_fingerprint=load_encoder().fingerprint(),
        max_tokens=MAX_TOKENS,
        heads=DEFAULT_HEADS,
        training=training,
    )


def _calibrated(
    checkpoint: Checkpoint,
    weights: dict[str, torch.Tensor],
    validation: Sequence[Example],
    only: str = "",
) -> Checkpoint:
    """Every head, or only the one of that name."""
    encoder = load_encoder()
    logits, targets = held_out_logits(encoder, merge(checkpoint, weights, encoder), validation)
    kinds = [example.kind for example in validation]
    heads = tuple(
        calibrate(head, logits[head.name], targets[head.name], kinds)
        if only in {"", head.name}
        else head
        for head in checkpoint.heads
    )
    return msgspec.structs.replace(checkpoint, heads=heads)


def _of(sources: Sequence[str], examples: Iterable[Example]) -> list[Example]:
    return [example for example in examples if not sources or example.source in sources]


def _at_most(most: int, examples: Sequence[Example]) -> list[Example]:
    """So many of each source at the most, drawn by the seed."""
    taken: Counter[str] = Counter()
    few = []
    draw = random.Random(CONFIG.seed)  # noqa: S311 - a reproducible choice, no secret
    for example in draw.sample(examples, len(examples)):
        if taken[example.source] < most:
            taken[example.source] += 1
            few.append(example)
    return few


def _say(line: object) -> None:
    print(line, flush=True)  # noqa: T201 - a script that a person watches
