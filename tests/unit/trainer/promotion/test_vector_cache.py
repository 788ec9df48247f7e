"""Vectors computed once are found again, and only by the encoder that gave them."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from tests.full_disk import full_disk
from trainer.promotion.contender import Contender, load_contender
from trainer.promotion.vector_cache import KEPT, cache_vectors

TEXTS = ["the bank is down", "a card was lost", "the bank is down"]


class Broken:
    """Stands in for an encoder that must not be asked."""

    def __init__(self, hidden: int) -> None:
        self.hidden = hidden

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        raise AssertionError(texts)


def without_memory(contender: Contender) -> Contender:
    return dataclasses.replace(contender, vectors_by_text={})


def test_a_restart_finds_the_vectors_and_computes_none(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    first = load_contender(tiny_checkpoint)
    folder = tmp_path / "trainer"
    cache_vectors(first, TEXTS, folder)
    again = without_memory(first)
    # With an encoder that fails, only what was kept can answer.
    cache_vectors(dataclasses.replace(again, encoder=Broken(first.encoder.hidden)), TEXTS, folder)
    assert torch.equal(again.vectors(TEXTS), first.vectors(TEXTS))


def test_a_damaged_file_is_computed_again(tiny_checkpoint: Path, tmp_path: Path) -> None:
    first = load_contender(tiny_checkpoint)
    cache_vectors(first, TEXTS, tmp_path)
    (file,) = tmp_path.glob("vectors-*")
    file.write_bytes(file.read_bytes()[:100])
    again = without_memory(first)
    cache_vectors(again, TEXTS, tmp_path)
    assert torch.equal(again.vectors(TEXTS), first.vectors(TEXTS))


def test_other_texts_have_a_file_of_their_own(tiny_checkpoint: Path, tmp_path: Path) -> None:
    contender = load_contender(tiny_checkpoint)
    cache_vectors(contender, TEXTS, tmp_path)
    cache_vectors(contender, TEXTS[:1], tmp_path)
    assert len(list(tmp_path.glob("vectors-*"))) == 2


def test_files_of_former_encoders_do_not_gather(tiny_checkpoint: Path, tmp_path: Path) -> None:
    contender = load_contender(tiny_checkpoint)
    made: dict[Path, int] = {}
    for number in range(KEPT + 2):
        cache_vectors(contender, [f"text {number}"], tmp_path)
        for file in set(tmp_path.glob("vectors-*")) - made.keys():
            made[file] = number
            os.utime(file, ns=(number, number))
    assert sorted(made[file] for file in tmp_path.glob("vectors-*")) == [2, 3, 4, 5]


def test_vectors_without_room_are_computed_and_the_folder_stays_clean(
    tiny_checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contender = load_contender(tiny_checkpoint)
    with full_disk(100):
        cache_vectors(contender, TEXTS, tmp_path / "folder")
    assert "free space there" in caplog.text
    assert list((tmp_path / "folder").iterdir()) == []
    assert set(TEXTS) <= contender.vectors_by_text.keys()
