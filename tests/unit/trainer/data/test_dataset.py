"""Our sentences carry their labels, copies count once, and splits never move a text."""

from __future__ import annotations

import msgspec
import pytest

from models.spec import DEFAULT_HEADS
from trainer.data.dataset import Example, merge, read_sentences, split
from trainer.errors import DatasetError


def kind_of_file(labelled: Example) -> Example:
    return msgspec.structs.replace(labelled, kind=labelled.source)


def example(text: str, source: str = "here", **labels: str) -> Example:
    return Example(text, source, {head: (label,) for head, label in labels.items()})


def test_sentences_carry_every_head_their_row_names(tmp_path):
    header = "text\tsentiment\ttopic\trisk\n"
    (tmp_path / "news.tsv").write_text(header + '"Up" it says\tpositive\tmarkets_prices\t\n')
    (tmp_path / "ticket.tsv").write_text(header + "My card\tneutral\tcards\tlow\n")
    assert read_sentences(tmp_path, DEFAULT_HEADS) == [
        kind_of_file(example('"Up" it says', "news", sentiment="positive", topic="markets_prices")),
        kind_of_file(example("My card", "ticket", sentiment="neutral", topic="cards", risk="low")),
    ]


def test_a_misspelt_label_in_our_sentences_is_refused_by_row(tmp_path):
    (tmp_path / "news.tsv").write_text("text\tsentiment\nUp\tpositve\n")
    with pytest.raises(DatasetError, match=r"news\.tsv: row 1: label 'positve' is none of head"):
        read_sentences(tmp_path, DEFAULT_HEADS)


def test_merge_joins_the_labels_of_copies_and_drops_those_in_dispute():
    merged = merge(
        [
            example("A  thing https://t.example/1", mood="good", size="big"),
            example("Other", mood="bad"),
            example("a thing", "there", mood="bad", colour="red"),
        ]
    )
    assert merged == [
        Example("A  thing https://t.example/1", "here", {"size": ("big",), "colour": ("red",)}),
        example("Other", mood="bad"),
    ]


def test_merge_drops_a_text_with_nothing_but_dispute():
    assert merge([example("a", mood="good"), example("A", mood="bad")]) == []


def test_split_depends_on_nothing_but_the_text():
    texts = [example(f"sentence number {n}", mood="bad") for n in range(1_000)]
    rest, held_out = split(texts, 0.1, salt="test")
    assert len(rest) + len(held_out) == 1_000
    assert 70 < len(held_out) < 130
    again = [example(row.text.upper(), "elsewhere", mood="good") for row in held_out]
    assert split(again, 0.1, salt="test") == ([], again)
