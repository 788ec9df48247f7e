"""`bellwether fit`: fine-tunes a checkpoint on a user's file, for a new head or one it has."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import torch

from models.atomic_files import remove_whole
from models.checkpoint import merge, read_checkpoint, write_checkpoint
from models.description import Checkpoint, shipped
from models.encoder import Encoder, load_encoder
from models.heads import JointHeads
from models.predictor import TorchPredictor, choose_device
from models.spec import Head
from trainer.data.dataset import Example, source_counts, split_by_label, text_identity
from trainer.data.user_file import read_texts, read_user_file
from trainer.evaluate import calibration_error, evaluate_examples, reliability
from trainer.fitting.adapters import stack
from trainer.fitting.calibrate import calibrate, renewed, unseen_confidences, why_kept
from trainer.fitting.config import FitConfig
from trainer.fitting.cross_validate import choose_rate
from trainer.fitting.fit import Fitted, Watch, fit
from trainer.fitting.forgetting import kept_answers, reminders
from trainer.fitting.measure import Epoch, exact_predictor, held_out_logits
from trainer.fitting.pretraining import adapt
from trainer.fitting.pseudo_labels import fill_in
from trainer.fitting.request import Request, identity, sha256
from trainer.fitting.resume import check_output, state_path

STAGES = ("labelled", "pseudo-labelled")


@dataclass(frozen=True)
class Tuned:
    """The checkpoint as written, and how it came about.

    figures are the head's on the validation part, as trainer.evaluate.evaluate gives them, those of
    calibration cross-fitted; kept has for each other head the share of our sentences that it
    answers as before; calibration has for each kind of source "new" or, where it must not become
    less strict than it was, "kept"; epochs are the fit's.
    """

    checkpoint: Checkpoint
    figures: dict[str, Any]
    kept: dict[str, float]
    calibration: dict[str, str]
    epochs: list[Epoch]


def tune(request: Request, *, watch: Watch, say: Callable[[object], None]) -> Tuned:
    """Read, check, split, fit, calibrate, measure, and write request.output in one step.

    An interrupted call leaves no output folder, only the state beside it from which the same call
    goes on. Raises DatasetError, FitError or ModelError, which say what to mend.
    """
    start = _load(request)
    own = read_user_file(request.data, request.head, start.parent.heads)
    check_output(request.output)
    for remark in own.remarks:
        say(remark)
    train, validation = split_by_label(own.examples, own.head.name, request.validation_share)
    say(
        f"head {own.head.name}: {len(own.head.labels)} labels, {len(train)} texts to learn from, "
        f"{len(validation)} to validate with"
    )
    unlabelled = _unlabelled(request)
    if request.adapt_epochs:
        read = _without(unlabelled, validation, request, say, why="are validated with")
        start = _adapted(start, read, request, watch, say)
    config = _chosen_config(start, own.head, train, request, watch=watch, say=say)
    heads = (*(head for head in start.parent.heads if head.name != own.head.name), own.head)

    def fit_on(examples: Sequence[Example], stage: str) -> _Result:
        encoder = copy.deepcopy(start.encoder)
        others = [] if config.method == "heads" else reminders(len(train))
        fitted = fit(
            encoder,
            heads,
            [*examples, *others],
            validation,
            config,
            known=start.known,
            teacher=start.teacher if request.adapt_epochs else None,
            watch=watch,
            state_file=state_path(request.output, stage),
            identity=identity(request, start.parent, config, stage),
        )
        return _result(start, heads, own.head, fitted, validation)

    result = fit_on(train, "labelled")
    if request.pseudo_label:
        why = f"have a label in {request.data}"
        asked = [
            Example(text, "unlabelled", {})
            for text in _without(unlabelled, own.examples, request, say, why=why)
        ]
        answered, reports = fill_in(result.predictor, asked, [own.head])
        say(reports[0])
        sure = [example for example in answered if example.labels]
        result = fit_on([*train, *sure], "pseudo-labelled")
    tuned = _write(
        request, start, result, own.head, train=train, validation=validation, config=config
    )
    if words := why_kept(tuned.calibration):
        say(words)
    for stage in STAGES:
        remove_whole(state_path(request.output, stage))
    return tuned


def _unlabelled(request: Request) -> list[str]:
    if not request.unlabelled:
        return []
    columns = request.data
    return read_texts(
        request.unlabelled, text_column=columns.text_column, title_column=columns.title_column
    )


def _without(
    unlabelled: Sequence[str],
    examples: Sequence[Example],
    request: Request,
    say: Callable[[object], None],
    *,
    why: str,
) -> list[str]:
    """The texts that are no copy of one of the examples."""
    known = {text_identity(example.text) for example in examples}
    left = [text for text in unlabelled if text_identity(text) not in known]
    if copies := len(unlabelled) - len(left):
        say(f"{request.unlabelled}: {copies} texts {why}, so are left out")
    return left


@dataclass(frozen=True)
class _Start:
    """What a fit starts from: a checkpoint, its difference to the bare encoder, and both merged.

    teacher is the encoder that known reads, where encoder has been adapted since.
    """

    parent: Checkpoint
    weights: dict[str, torch.Tensor]
    encoder: Encoder
    known: JointHeads
    teacher: Encoder


class _Result(NamedTuple):
    """What a fit gave: all weights as stored, the predictor that they make, and the epochs.

    trust is, of each validation text, how sure a calibration that did not see it is, and whether
    the answer is right; calibration is that of Tuned.
    """

    weights: dict[str, torch.Tensor]
    predictor: TorchPredictor
    epochs: list[Epoch]
    trust: tuple[list[float], list[bool]]
    calibration: dict[str, str]


def _load(request: Request) -> _Start:
    device = choose_device(request.device)
    parent, weights = read_checkpoint(request.parent or shipped())
    reference = request.encoder or parent.encoder
    encoder = load_encoder(reference, max_tokens=parent.max_tokens)
    known = merge(parent, weights, encoder)
    encoder.to(device)
    return _Start(parent, weights, encoder, known.to(device), encoder)


def _adapted(
    start: _Start,
    unlabelled: Sequence[str],
    request: Request,
    watch: Watch,
    say: Callable[[object], None],
) -> _Start:
    encoder = copy.deepcopy(start.encoder)
    adapted = adapt(
        encoder, unlabelled, request.config, epochs=request.adapt_epochs, step=watch.step
    )
    say(adapted)
    return dataclasses.replace(
        start, encoder=encoder, weights=stack(start.weights, adapted.weights)
    )


def _chosen_config(
    start: _Start,
    head: Head,
    train: Sequence[Example],
    request: Request,
    *,
    watch: Watch,
    say: Callable[[object], None],
) -> FitConfig:
    if not request.folds:
        return request.config
    return choose_rate(
        start.encoder,
        head,
        train,
        request.config,
        folds_wanted=request.folds,
        rates=request.rates,
        known=start.known,
        watch=watch,
        say=say,
    )


def _result(
    start: _Start,
    heads: Sequence[Head],
    fitted_head: Head,
    fitted: Fitted,
    validation: Sequence[Example],
) -> _Result:
    """The fitted head calibrated on the weights as they will be stored; the others as before."""
    weights = stack(start.weights, fitted.weights)
    bare = msgspec.structs.replace(start.parent, heads=tuple(heads))
    encoder = load_encoder(start.encoder.reference, max_tokens=bare.max_tokens)
    joint = merge(bare, weights, encoder).to(start.encoder.device)
    encoder.to(start.encoder.device)
    logits, targets = held_out_logits(encoder, joint, validation)
    name = fitted_head.name
    kinds = [example.kind for example in validation]
    former = next((head for head in start.parent.heads if head.name == name), None)
    own = (fitted_head, logits[name], targets[name], kinds)
    right: list[bool] = (logits[name].argmax(dim=1) == targets[name]).tolist()
    calibrated = calibrate(*own, former=former)
    trust = (unseen_confidences(*own, former=former), right)
    joint.heads = tuple(calibrated if head.name == name else head for head in heads)
    return _Result(
        weights,
        exact_predictor(encoder, joint),
        fitted.epochs,
        trust,
        renewed(calibrated, former, kinds),
    )


def _write(
    request: Request,
    start: _Start,
    result: _Result,
    head: Head,
    *,
    train: Sequence[Example],
    validation: Sequence[Example],
    config: FitConfig,
) -> Tuned:
    figures = evaluate_examples(result.predictor, validation, head)
    figures |= {"ece": calibration_error(*result.trust), "reliability": reliability(*result.trust)}
    before = exact_predictor(start.teacher, start.known)
    kept = kept_answers(before, result.predictor, fitted=head.name)
    short = {name: figures[name] for name in ("n", "accuracy", "macro_f1", "ece")}
    checkpoint = Checkpoint(
        name=request.output.name,
        encoder=start.parent.encoder,
        encoder_fingerprint=start.parent.encoder_fingerprint,
        max_tokens=start.parent.max_tokens,
        heads=result.predictor.heads,
        training={
            "parent": start.parent.version,
            "config": dataclasses.asdict(config),
            "texts": source_counts(train),
            "data_sha256": sha256(request.data.path),
            "epochs": [epoch.rounded() for epoch in result.epochs],
        },
        metrics={
            "validation": {head.name: short},
            "answers as before": kept,
            "reliability": {head.name: figures["reliability"]},
        },
    )
    checkpoint = write_checkpoint(request.output, checkpoint, result.weights)
    return Tuned(checkpoint, figures, kept, result.calibration, result.epochs)
