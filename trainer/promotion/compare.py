"""Evidence for the gate: two versions answer by answer, and labels that contradict the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from models.heads import MISSING, JointHeads
from models.spec import Head
from trainer.data.dataset import Example
from trainer.fitting.batches import target_of
from trainer.fitting.refit import refit
from trainer.promotion.contender import Contender
from trainer.promotion.data_split import DataSplit
from trainer.promotion.gate import Doubt, Part, Slice
from trainer.promotion.suspects import out_of_fold, suspects


def compare(champion: Contender, other: Contender, data: DataSplit) -> list[Slice]:
    """Both on the protected texts: golden labels and our own held-out sentences."""
    shared = [
        head
        for head in champion.joint.heads
        if any(head.name == one.name and head.labels == one.labels for one in other.joint.heads)
    ]
    parts: list[tuple[Part, list[Example]]] = [("golden", data.golden), ("base", data.base)]
    slices: list[Slice] = []
    for part, examples in parts:
        texts = [one.text for one in examples]
        slices += _slices(examples, part, champion.answers(texts), other.answers(texts), shared)
    return slices


class CrossCheck(NamedTuple):
    """What heads taught by all other labels say of each: see Evidence and Challenger.

    joint are heads taught by all texts to learn from, unseen the probabilities of those texts by
    heads that did not see them; doubts and doubtful speak of the golden labels too, which are no
    better than who gave them.
    """

    joint: JointHeads
    unseen: dict[str, torch.Tensor]
    doubts: tuple[Doubt, ...]
    doubtful: dict[str, list[str]]


def cross_check(root: Contender, data: DataSplit) -> CrossCheck:
    """Teach root, and hold every label against what the others teach it."""
    vectors, targets, reminders = _lesson(root, data)
    joint = refit(root.joint, vectors, targets, reminders)
    unseen = out_of_fold(root.joint, vectors, targets, reminders)
    golden = _probabilities(joint, root.vectors([one.text for one in data.golden]))
    examples = [*data.train, *data.golden]
    doubts: list[Doubt] = []
    doubtful = {}
    for head, own in _targets(examples, root.joint.heads).items():
        wrong = suspects(torch.cat([unseen[head], golden[head]]), own)
        doubtful[head] = [examples[at].text for at in wrong]
        labelled = [examples[at].text for at in (own != MISSING).nonzero().flatten().tolist()]
        doubts += _doubts(head, labelled, set(doubtful[head]), data)
    return CrossCheck(joint, unseen, tuple(doubts), doubtful)


def _probabilities(joint: JointHeads, vectors: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return {head: logits.softmax(dim=1) for head, logits in joint(vectors).items()}


def _doubts(
    head: str, labelled: Sequence[str], doubtful: Container[str], data: DataSplit
) -> Iterator[Doubt]:
    labels, found = Counter[str](), Counter[str]()
    for text in labelled:
        names = ("", *data.authors.get((head, text), ()))
        labels.update(names)
        if text in doubtful:
            found.update(names)
    for author, count in labels.items():
        yield Doubt(head=head, author=author, suspects=found[author], labels=count)


def _lesson(
    root: Contender, data: DataSplit
) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """Vectors and targets of the labelled texts, and of the reminders, as refit takes them."""
    vectors = root.vectors([one.text for one in data.train])
    reminders = root.vectors([one.text for one in data.reminders])
    return vectors, _targets(data.train, root.joint.heads), reminders


def recent_slices(
    champion: Contender, data: DataSplit, unseen: Mapping[str, torch.Tensor]
) -> Iterator[Slice]:
    """Labels new to the champion, against answers of heads that did not see them either."""
    for head in champion.joint.heads:
        # Head by head: of a text that another head has a new label for, the champion learnt this
        # one's, and would be held against heads that did not.
        chosen = [at for at, one in enumerate(data.train) if (head.name, one.text) in data.recent]
        if chosen:
            examples = [data.train[at] for at in chosen]
            before = champion.answers([one.text for one in examples])
            after = {head.name: unseen[head.name][chosen].argmax(dim=1)}
            yield from _slices(examples, "recent", before, after, [head])


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
    """Per head (n,), each text's target_of."""
    return {
        head.name: torch.tensor([target_of(one, head) for one in examples], dtype=torch.int64)
        for head in heads
    }
