"""Against forgetting: texts that remind a fit of the other heads, and how many answers stay."""

from __future__ import annotations

import msgspec

from models.spec import DEFAULT_HEADS, Predictor
from trainer.data.dataset import SENTENCES, Example, evenly_spaced, read_sentences
from trainer.evaluate import score_texts

# So many of our sentences for each text of the user's.
REMINDERS_PER_TEXT = 0.5
COMPARED_TEXTS = 500


def reminders(texts: int) -> list[Example]:
    """Our sentences without their labels, for a fit on so many texts that changes the encoder.

    What the other heads say of them is to stay, whatever it is.
    """
    sentences = read_sentences(SENTENCES, DEFAULT_HEADS)
    chosen = evenly_spaced(sentences, round(texts * REMINDERS_PER_TEXT))
    return [msgspec.structs.replace(one, labels={}) for one in chosen]


def kept_answers(before: Predictor, now: Predictor, *, fitted: str) -> dict[str, float]:
    """Of each head but the fitted one, the share of 500 of our sentences with the same label."""
    chosen = evenly_spaced(read_sentences(SENTENCES, DEFAULT_HEADS), COMPARED_TEXTS)
    texts = [example.text for example in chosen]
    pairs = list(zip(score_texts(before, texts), score_texts(now, texts), strict=True))
    return {
        head.name: sum(old[head.name].label == new[head.name].label for old, new in pairs)
        / len(pairs)
        for head in before.heads
        if head.name != fitted
    }
