"""A fit reads what its examples say, in batches that waste little and favour small sources."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from models.encoder import Encoder, load_encoder
from models.heads import MISSING
from models.spec import Head
from tests.tiny_model import write_tiny_encoder
from trainer.data.dataset import Example
from trainer.fitting.batches import Texts, batches

HEADS = (Head(name="mood", labels=("bad", "good")), Head(name="place", labels=("sea", "town")))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder: Path = tmp_path_factory.mktemp("encoder")
    return load_encoder(str(write_tiny_encoder(folder)))


def test_ambiguous_label_is_not_learnt_from(encoder):
    both = Example("x", "here", {"mood": ("bad", "good"), "place": ("sea",)})
    texts = Texts([both], encoder, HEADS, 16)
    assert texts.targets["mood"] == [MISSING]
    assert texts.targets["place"] == [0]


def test_long_texts_are_cut_for_training_but_end_properly(encoder):
    (tokens,) = Texts([Example("word " * 90, "here", {})], encoder, HEADS, 16).tokens
    (short,) = encoder.tokenize(["word"])
    assert len(tokens) == 16
    assert tokens[-1] == short[-1]


def test_small_sources_are_drawn_more_often_below_power_one(encoder):
    large = [Example(f"text {n}", "large", {"mood": ("bad",)}) for n in range(900)]
    small = [Example(f"word {n}", "small", {"mood": ("bad",)}) for n in range(100)]
    texts = Texts(large + small, encoder, HEADS, 16)

    def drawn(power: float) -> Counter[str]:
        cut = batches(texts, batch_size=8, sampling_power=power, seed="1")
        return Counter(texts.sources[at] for batch in cut for at in batch)

    assert drawn(1.0) == {"large": 900, "small": 100}
    assert drawn(0.5) == {"large": 750, "small": 250}


def test_batches_hold_texts_of_like_length(encoder):
    mixed = [Example("word " * (n % 14), "here", {"mood": ("bad",)}) for n in range(224)]
    texts = Texts(mixed, encoder, HEADS, 16)
    spreads = []
    for batch in batches(texts, batch_size=8, sampling_power=1.0, seed="1"):
        lengths = [len(texts.tokens[at]) for at in batch]
        spreads.append(max(lengths) - min(lengths))
    assert sum(spreads) / len(spreads) < 2


def test_order_is_that_of_the_seed(encoder):
    texts = Texts([Example(f"t {n}", "here", {}) for n in range(40)], encoder, HEADS, 16)
    orders = [list(batches(texts, batch_size=8, sampling_power=1.0, seed=seed)) for seed in "112"]
    assert orders[0] == orders[1] != orders[2]
