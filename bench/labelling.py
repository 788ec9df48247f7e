"""`python -m bench.labelling FILE`: is it worth asking for labels, and are wrong ones found?

FILE: JSON lines with text and label. Two measurements on the bare encoder's vectors, over seeds:
accuracy after so many labels, chosen by trainer.labels.active_learning against chosen at random;
and precision and recall of trainer.promotion.suspects on labels that were flipped on purpose.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev

import orjson
import torch

from models.description import read_verified, shipped
from models.encoder import load_encoder
from models.heads import JointHeads
from models.spec import Head
from trainer.fitting.measure import pooled_vectors
from trainer.fitting.refit import refit
from trainer.labels.active_learning import choose
from trainer.promotion.suspects import out_of_fold, suspects

SEEDS = 5
TEXTS = 3_000
TEST_SHARE = 0.25
BUDGETS = (100, 200, 300, 400, 500, 600)
FLIPPED = (0.05, 0.10, 0.20)
SUSPECT_TEXTS = 600
HEAD = "label"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.labelling", description=__doc__)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    rows = [orjson.loads(line) for line in options.file.read_bytes().splitlines()]
    random.Random(0).shuffle(rows)
    rows = list({row["text"]: row for row in rows}.values())[:TEXTS]
    labels = tuple(sorted({row["label"] for row in rows}))
    targets = torch.tensor([labels.index(row["label"]) for row in rows])
    checkpoint, _ = read_verified(shipped())
    encoder = load_encoder(checkpoint.encoder, max_tokens=checkpoint.max_tokens)
    vectors = pooled_vectors(encoder, encoder.tokenize([row["text"] for row in rows]))
    fresh = JointHeads((Head(name=HEAD, labels=labels),), encoder.hidden)
    torch.nn.init.zeros_(fresh.linear.weight)
    torch.nn.init.zeros_(fresh.linear.bias)
    print(f"{len(rows)} texts of {options.file.name}, {len(labels)} labels, {SEEDS} seeds")
    print_curve(fresh, vectors, targets)
    print_suspects(fresh, vectors, targets)


def print_curve(fresh: JointHeads, vectors: torch.Tensor, targets: torch.Tensor) -> None:
    by_way = {way: [curve(fresh, vectors, targets, way, seed) for seed in range(SEEDS)]
              for way in ("random", "asked")}  # fmt: skip
    print("\nlabels   random           asked            difference")
    for place, budget in enumerate(BUDGETS):
        plain, asked = ([one[place] for one in by_way[way]] for way in ("random", "asked"))
        print(
            f"{budget:6}   {mean(plain):.3f} ± {pstdev(plain):.3f}    "
            f"{mean(asked):.3f} ± {pstdev(asked):.3f}    {mean(asked) - mean(plain):+.3f}"
        )


def curve(
    fresh: JointHeads, vectors: torch.Tensor, targets: torch.Tensor, way: str, seed: int
) -> list[float]:
    """Accuracy on texts that are never asked about, after each budget."""
    order = list(range(len(vectors)))
    random.Random(seed).shuffle(order)
    held_out = int(len(order) * TEST_SHARE)
    test, pool = order[:held_out], order[held_out:]
    known = pool[: BUDGETS[0]]
    taught = _fit(fresh, vectors[known], targets[known])
    found = []
    for budget in BUDGETS:
        if count := budget - len(known):
            rest = [at for at in pool if at not in set(known)]
            more = rest[:count] if way == "random" else _asked(taught, vectors, known, rest, count)
            known = [*known, *more]
            taught = _fit(fresh, vectors[known], targets[known])
        answers = taught(vectors[test])[HEAD].argmax(dim=1)
        found.append(float((answers == targets[test]).float().mean()))
    return found


def _asked(
    taught: JointHeads,
    vectors: torch.Tensor,
    known: Sequence[int],
    rest: Sequence[int],
    count: int,
) -> list[int]:
    probabilities = taught(vectors[rest])[HEAD].softmax(dim=1).detach()
    return [rest[one.at] for one in choose(probabilities, vectors[rest], vectors[known], count)]


def print_suspects(fresh: JointHeads, vectors: torch.Tensor, targets: torch.Tensor) -> None:
    print(f"\nflipped   of {SUSPECT_TEXTS} labels named   precision   recall")
    for share in FLIPPED:
        precisions, recalls, named = [], [], []
        for seed in range(SEEDS):
            generator = torch.Generator().manual_seed(seed)
            chosen = torch.randperm(len(vectors), generator=generator)[:SUSPECT_TEXTS]
            true = targets[chosen]
            flip = torch.rand(len(true), generator=generator) < share
            shift = torch.randint(1, int(targets.max()) + 1, true.shape, generator=generator)
            given = torch.where(flip, (true + shift) % (int(targets.max()) + 1), true)
            nothing = vectors[:0]
            unseen = out_of_fold(fresh, vectors[chosen], {HEAD: given}, nothing)[HEAD]
            wrong = suspects(unseen, given)
            right = int(flip[wrong].sum())
            named.append(len(wrong))
            precisions.append(right / max(1, len(wrong)))
            recalls.append(right / int(flip.sum()))
        print(
            f"{share:7.0%}   {mean(named):18.0f}   {mean(precisions):9.2f}   {mean(recalls):6.2f}"
        )


def _fit(fresh: JointHeads, vectors: torch.Tensor, targets: torch.Tensor) -> JointHeads:
    return refit(fresh, vectors, {HEAD: targets}, vectors[:0])


if __name__ == "__main__":
    main()
