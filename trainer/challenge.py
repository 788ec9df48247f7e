"""A challenger out of the champion and people's labels, and what the gate must know of both."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import torch

from models.checkpoint import merge
from models.description import Checkpoint
from models.encoder import load_encoder
from models.heads import MISSING
from models.spec import DEFAULT_HEADS, Head
from trainer.adapters import compress
from trainer.contender import Contender, slowdown
from trainer.dataset import Example, read_sentences, split
from trainer.dataset import merge as merge_copies
from trainer.feedback import Label
from trainer.fit import Watch, fit
from trainer.gate import Evidence, Part, Slice
from trainer.keep import SENTENCES, evenly
from trainer.learner import default_config
from trainer.refit import refit
from trainer.suspects import out_of_fold, suspects

GOLDEN_SHARE = 0.2
# Those that the shipped checkpoint was judged by, never trained on by anybody.
BASE_SHARE = 0.1
REMINDERS = 2_000
DEEP_REMINDERS_PER_TEXT = 2
DEEP_RANK = 96
VALIDATION_SHARE = 0.15
TIMED_TEXTS = 64


@dataclass(frozen=True)
class Taught:
    """Labelled texts, parted by the hash of each text: once golden, always golden.

    recent are the texts of learn whose label the champion did not know.
    """

    learn: list[Example]
    recent: frozenset[str]
    golden: list[Example]
    base: list[Example]
    reminders: list[Example]


@dataclass(frozen=True)
class Challenger:
    """A version that is not written yet, and what speaks for and against it.

    doubtful are the texts of labels that contradict the others, by head, the worst first.
    """

    checkpoint: Checkpoint
    weights: dict[str, torch.Tensor]
    evidence: Evidence
    doubtful: dict[str, list[str]]


def taught_by(labels: Sequence[Label], known_up_to: Mapping[str, int]) -> Taught:
    """The labels as examples, our own sentences beside them.

    known_up_to are the offsets up to which the champion learnt, as Label.newer_than takes them.
    """
    own = read_sentences(SENTENCES, DEFAULT_HEADS)
    rest, base = split(own, BASE_SHARE, salt="test")
    examples = merge_copies(
        Example(one.text, "feedback", {one.head: (one.label,)}, kind=one.source) for one in labels
    )
    learn, golden = split(examples, GOLDEN_SHARE, salt="golden")
    reminders = [msgspec.structs.replace(one, labels={}) for one in evenly(rest, REMINDERS)]
    recent = frozenset(one.text for one in labels if one.newer_than(known_up_to))
    return Taught(learn, recent, golden, base, reminders)


def challenge_fast(
    champion: Contender, root: Contender, taught: Taught, *, lineage: Mapping[str, Any]
) -> Challenger:
    """New heads on vectors that are there already, in seconds; lineage goes into the checkpoint.

    root is the version that the fast ones descend from, on the champion's encoder. All labels teach
    its heads, so that many small steps don't add up to forgetting, and a label taken back is gone.
    """
    vectors, targets, reminders = _lesson(root, taught)
    joint = refit(root.joint, vectors, targets, reminders)
    weights = root.weights | {
        f"heads.{name}": value.clone() for name, value in joint.linear.state_dict().items()
    }
    check = _cross_check(root, taught)
    evidence = Evidence(
        slices=(
            *_recent_slices(champion, taught, check.unseen),
            *compare(champion, dataclasses.replace(root, joint=joint), taught),
        ),
        suspects=check.suspects,
    )
    return Challenger(_child(champion, root, "fast", lineage), weights, evidence, check.doubtful)


def challenge_deep(
    champion: Contender,
    root: Contender,
    taught: Taught,
    *,
    lineage: Mapping[str, Any],
    watch: Watch | None = None,
) -> Challenger:
    """Low-rank adapters on the whole encoder, in minutes; the reminders keep what it knew.

    Raises FitError where the labels are too few to keep some back for the choice of the epoch.
    """
    encoder = copy.deepcopy(root.encoder)
    learn, validation = split(taught.learn, VALIDATION_SHARE, salt="deep")
    kept = evenly(taught.reminders, min(REMINDERS, DEEP_REMINDERS_PER_TEXT * len(learn)))
    config = default_config("lora", epochs=3, hide_share=0.05, bf16=champion.bf16)
    fitted = fit(
        encoder,
        root.joint.heads,
        [*learn, *kept],
        validation,
        config,
        known=root.joint,
        teacher=root.encoder,
        watch=watch,
    )
    weights = _one_difference(root, fitted.weights)
    checkpoint = _child(champion, root, "deep", lineage)
    fresh = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    new = Contender(checkpoint, weights, fresh, merge(checkpoint, weights, fresh), champion.bf16)
    timed = [one.text for one in taught.reminders[:TIMED_TEXTS]]
    check = _cross_check(root, taught)
    evidence = Evidence(
        slices=tuple(compare(champion, new, taught)),
        suspects=check.suspects,
        slowdown=slowdown(champion, new, timed),
    )
    return Challenger(checkpoint, weights, evidence, check.doubtful)


def compare(champion: Contender, other: Contender, taught: Taught) -> list[Slice]:
    """Both on the protected texts: golden labels and our own held-out sentences."""
    shared = [
        head
        for head in champion.joint.heads
        if any(head.name == one.name and head.labels == one.labels for one in other.joint.heads)
    ]
    parts: list[tuple[Part, list[Example]]] = [("golden", taught.golden), ("base", taught.base)]
    slices: list[Slice] = []
    for part, examples in parts:
        texts = [one.text for one in examples]
        slices += _slices(examples, part, champion.answers(texts), other.answers(texts), shared)
    return slices


class _Check(NamedTuple):
    """What heads taught by all other labels say of each: see Evidence and Challenger."""

    unseen: dict[str, torch.Tensor]
    suspects: dict[str, tuple[int, int]]
    doubtful: dict[str, list[str]]


def doubtful_labels(root: Contender, taught: Taught) -> dict[str, list[str]]:
    """By head the texts whose label contradicts what the others teach, the worst first."""
    return _cross_check(root, taught).doubtful


def _cross_check(root: Contender, taught: Taught) -> _Check:
    vectors, targets, reminders = _lesson(root, taught)
    unseen = out_of_fold(root.joint, vectors, targets, reminders)
    wrong = {name: suspects(unseen[name], own) for name, own in targets.items()}
    return _Check(
        unseen,
        {name: (len(at), int((targets[name] != MISSING).sum())) for name, at in wrong.items()},
        {name: [taught.learn[one].text for one in at] for name, at in wrong.items()},
    )


def _lesson(
    root: Contender, taught: Taught
) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """Vectors and targets of the labelled texts, and of the reminders, as refit takes them."""
    vectors = root.vectors([one.text for one in taught.learn])
    reminders = root.vectors([one.text for one in taught.reminders])
    return vectors, _targets(taught.learn, root.joint.heads), reminders


def _recent_slices(
    champion: Contender, taught: Taught, unseen: Mapping[str, torch.Tensor]
) -> Iterator[Slice]:
    """Labels new to the champion, against answers of heads that did not see them either."""
    chosen = [at for at, one in enumerate(taught.learn) if one.text in taught.recent]
    if chosen:
        examples = [taught.learn[at] for at in chosen]
        before = champion.answers([one.text for one in examples])
        after = {name: values[chosen].argmax(dim=1) for name, values in unseen.items()}
        yield from _slices(examples, "recent", before, after, champion.joint.heads)


def _slices(
    examples: Sequence[Example],
    part: Part,
    before: Mapping[str, torch.Tensor],
    after: Mapping[str, torch.Tensor],
    heads: Sequence[Head],
) -> Iterator[Slice]:
    for head in heads:
        truths = _targets(examples, [head])[head.name]
        for source in sorted({one.kind for one in examples}):
            chosen = torch.tensor([one.kind == source for one in examples]) & (truths != MISSING)
            if chosen.any():
                yield Slice(
                    head=head.name,
                    source=source,
                    part=part,
                    champion_right=tuple((before[head.name] == truths)[chosen].tolist()),
                    challenger_right=tuple((after[head.name] == truths)[chosen].tolist()),
                )


def _targets(examples: Sequence[Example], heads: Sequence[Head]) -> dict[str, torch.Tensor]:
    """Per head (n,) the index of each text's label; MISSING where it has none or several."""
    targets = {}
    for head in heads:
        own = [one.labels.get(head.name, ()) for one in examples]
        targets[head.name] = torch.tensor(
            [head.labels.index(names[0]) if len(names) == 1 else MISSING for names in own],
            dtype=torch.int64,
        )
    return targets


def _one_difference(root: Contender, fitted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Root and adapters as one difference to the bare encoder, or its rank would only grow."""
    bare = load_encoder(root.checkpoint.encoder, max_tokens=root.checkpoint.max_tokens)
    before = {name: value.clone() for name, value in bare.model.named_parameters()}
    merge(root.checkpoint, root.weights, bare)
    # merge adds a difference to whatever is there, but only to an encoder that it knows.
    for name, value in fitted.items():
        if name.endswith(".a") and name.startswith("low_rank."):
            module = name.removeprefix("low_rank.").removesuffix(".a")
            up = fitted[f"low_rank.{module}.b"].float()
            with torch.no_grad():
                bare.model.get_parameter(f"{module}.weight").add_(up @ value.float())
    after = {
        name: value.detach()
        for name, value in bare.model.named_parameters()
        if not torch.equal(value, before[name])
    }
    heads = {name: value for name, value in fitted.items() if name.startswith("heads.")}
    return heads | compress(before, after, DEEP_RANK)


def _child(
    champion: Contender, root: Contender, speed: str, lineage: Mapping[str, Any]
) -> Checkpoint:
    return msgspec.structs.replace(
        root.checkpoint,
        training={
            "parent": champion.checkpoint.version,
            "root": root.checkpoint.version,
            "speed": speed,
            **lineage,
        },
        metrics={},
    )
