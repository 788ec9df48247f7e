"""The labelled examples nearest to a text, by the vectors that the heads read."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own spelling

from models.explanation import Example, Neighbour

CANDIDATES = 128
"""Examples whose vectors are computed for a text: all of some thousands would take a minute."""

_WORD = re.compile(r"\w+")


class ExampleIndex:
    """Examples by their words. Vectors are computed when first needed and kept.

    Not for more than some ten thousand examples, as each is looked at.
    """

    def __init__(
        self, examples: Sequence[Example], embed: Callable[[Sequence[str]], torch.Tensor]
    ) -> None:
        """Embed gives vectors (n, hidden) of texts."""
        self._examples = list(examples)
        self._words = [set(_words(example.text)) for example in examples]
        self._seen_in = Counter(word for words in self._words for word in words)
        self._embed = embed
        self._vectors: dict[str, torch.Tensor] = {}

    def nearest(self, text: str, count: int) -> list[Neighbour]:
        """The nearest by cosine similarity of the CANDIDATES that share most words with text.

        A shared word counts by its inverse document frequency. Nearest first; count at most.
        """
        if not self._examples or count < 1:
            return []
        wanted = {
            word: math.log(len(self._words) / self._seen_in[word])
            for word in set(_words(text))
            if word in self._seen_in
        }
        shared = [
            sum(wanted[word] for word in words & wanted.keys()) / math.sqrt(len(words) or 1)
            for words in self._words
        ]
        order = sorted(range(len(shared)), key=lambda place: -shared[place])[:CANDIDATES]
        some = [self._examples[place] for place in order]
        vectors = self._vectors_of([text, *(example.text for example in some)])
        similarities = F.cosine_similarity(vectors[1:], vectors[:1], dim=1)
        best = similarities.topk(min(count, len(some)))
        return [
            Neighbour(some[place].text, some[place].label, some[place].source, similarity)
            for similarity, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]

    def _vectors_of(self, texts: Sequence[str]) -> torch.Tensor:
        missing = list(dict.fromkeys(text for text in texts if text not in self._vectors))
        if missing:
            self._vectors.update(zip(missing, self._embed(missing), strict=True))
        return torch.stack([self._vectors[text] for text in texts])


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
