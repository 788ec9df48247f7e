"""What a fit reads: examples as token ids and targets, drawn in batches of like length."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence

import torch

from models.encoder import Encoder
from models.heads import MISSING
from models.spec import Head
from trainer.data.dataset import Example

SORTED_TOGETHER = 32
TOKENISED_TOGETHER = 10_000


class Texts:
    """Examples as a fit reads them: token ids, and per head each text's label index or MISSING."""

    def __init__(
        self, examples: Sequence[Example], encoder: Encoder, heads: Sequence[Head], max_tokens: int
    ) -> None:
        # Four bytes a token: a million texts fit into memory. Slices keep the lists of int short.
        self.tokens: list[array[int]] = []
        for start in range(0, len(examples), TOKENISED_TOGETHER):
            some = examples[start : start + TOKENISED_TOGETHER]
            for tokens in encoder.tokenize([example.text for example in some]):
                # The last token is the separator, which the encoder expects after a cut as well.
                whole = len(tokens) <= max_tokens
                fits = tokens if whole else [*tokens[: max_tokens - 1], tokens[-1]]
                self.tokens.append(array("i", fits))
        self.sources = [example.source for example in examples]
        self.targets = {
            head.name: [target_of(example, head) for example in examples] for head in heads
        }

    def __len__(self) -> int:
        return len(self.tokens)

    def counts(self, head: Head) -> list[int]:
        """How many texts each label of the head has."""
        return [self.targets[head.name].count(label) for label in range(len(head.labels))]


def hide_tokens(ids: torch.Tensor, share: float, encoder: Encoder) -> torch.Tensor:
    """Ids with that share of the words' tokens replaced by the mask token, drawn by torch's seed.

    The heads learn not to hang on a single word, a ticker or a company's name.
    """
    hidden = (torch.rand(ids.shape) < share) & ~torch.isin(ids, encoder.special_ids)
    return ids.masked_fill(hidden, encoder.mask_id)


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


def target_of(example: Example, head: Head) -> int:
    """The index of its label for the head; MISSING where it has none or several."""
    labels = example.labels.get(head.name, ())
    return head.labels.index(labels[0]) if len(labels) == 1 else MISSING
