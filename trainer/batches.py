"""What a fit reads: examples as token ids and targets, drawn in batches of like length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from models.encoder import Encoder
from models.heads import MISSING
from models.spec import Head
from trainer.dataset import Example

SORTED_TOGETHER = 32


class Texts:
    """Examples as a fit reads them: token ids, and per head each text's label index or MISSING."""

    def __init__(
        self, examples: Sequence[Example], encoder: Encoder, heads: Sequence[Head], max_tokens: int
    ) -> None:
        tokens = encoder.tokenize([example.text for example in examples])
        # The last token is the separator, which the encoder expects after a cut as well.
        self.tokens = [t if len(t) <= max_tokens else [*t[: max_tokens - 1], t[-1]] for t in tokens]
        self.sources = [example.source for example in examples]
        self.targets = {
            head.name: [_target(example, head) for example in examples] for head in heads
        }

    def __len__(self) -> int:
        return len(self.tokens)


def batches(
    texts: Texts, *, batch_size: int, sampling_power: float, seed: str
) -> Iterator[list[int]]:
    """One epoch: about len(texts) positions, drawn by source, in batches of like length.

    A source of n texts is drawn from in proportion to n ** sampling_power, each text equally often.
    """
    draw = random.Random(seed)  # noqa: S311 - a reproducible order, no secret
    by_source: dict[str, list[int]] = {}
    for position, source in enumerate(texts.sources):
        by_source.setdefault(source, []).append(position)
    shares = {source: len(own) ** sampling_power for source, own in by_source.items()}
    chosen: list[int] = []
    for source, own in by_source.items():
        wanted = round(len(texts) * shares[source] / sum(shares.values()))
        for _ in range(wanted // len(own)):
            chosen += own
        chosen += draw.sample(own, wanted % len(own))
    draw.shuffle(chosen)
    together = batch_size * SORTED_TOGETHER
    cut = []
    for start in range(0, len(chosen), together):
        alike = sorted(chosen[start : start + together], key=lambda at: len(texts.tokens[at]))
        cut += [alike[at : at + batch_size] for at in range(0, len(alike), batch_size)]
    draw.shuffle(cut)
    yield from cut


def _target(example: Example, head: Head) -> int:
    labels = example.labels.get(head.name, ())
    return head.labels.index(labels[0]) if len(labels) == 1 else MISSING
