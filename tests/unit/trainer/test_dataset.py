"""Labelled files are read whole or refused with row and remedy; splits never move a text."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from models.spec import DEFAULT_HEADS, Head
from trainer.dataset import (
    Example,
    LabelMap,
    merge,
    read_examples,
    read_label_map,
    read_sentences,
    split,
)
from trainer.errors import DatasetError

MOOD = Head(name="mood", labels=("bad", "good"))
ROWS = [{"text": "It broke", "label": "bad"}, {"text": 'She said "fine", twice', "label": "good"}]


def write_rows(file: Path, rows: list[dict[str, str]]) -> Path:
    if file.suffix == ".jsonl":
        file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    else:
        comma, quote = ("\t", "") if file.suffix == ".tsv" else (",", '"')
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        file.write_text(
            "\n".join(
                comma.join(quote + value.replace('"', quote + '"') + quote for value in line)
                for line in lines
            )
        )
    return file


def kind_of_file(labelled: Example) -> Example:
    return msgspec.structs.replace(labelled, kind=labelled.source)


def example(text: str, source: str = "here", **labels: str) -> Example:
    return Example(text, source, {head: (label,) for head, label in labels.items()})


@pytest.mark.parametrize("suffix", ["jsonl", "tsv", "csv"])
def test_rows_read_the_same_from_every_format(tmp_path, suffix):
    file = write_rows(tmp_path / f"reviews.{suffix}", ROWS)
    assert read_examples(file, MOOD) == [
        example("It broke", "reviews", mood="bad"),
        example('She said "fine", twice', "reviews", mood="good"),
    ]


def test_unknown_label_names_row_and_remedy(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", [*ROWS, {"text": "Hm", "label": "meh"}])
    with pytest.raises(DatasetError, match=r"a\.jsonl: row 3: label 'meh' .*bad, good.*--mapping"):
        read_examples(file, MOOD)


def test_missing_column_names_the_columns_there_are(tmp_path):
    file = write_rows(tmp_path / "a.tsv", ROWS)
    with pytest.raises(DatasetError, match="no column 'body', only text, label; name the right"):
        read_examples(file, MOOD, text_column="body")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.jsonl", "", "holds no labelled text"),
        ("a.jsonl", '{"text": 1}\nnonsense', "line 2 is no JSON object"),
        ("a.tsv", "text\tlabel\n", "holds no labelled text"),
        ("a.xlsx", "", r"ends in none of \.jsonl, \.tsv, \.csv"),
    ],
)
def test_unusable_file_is_refused(tmp_path, name, content, complaint):
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=complaint):
        read_examples(tmp_path / name, MOOD)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"gone\.csv: can't be read \(No such file"):
        read_examples(tmp_path / "gone.csv", MOOD)


def test_label_map_reads_labels_of_one_column_for_the_head(tmp_path):
    rows = [{"text": "It broke", "stars": "1"}, {"text": "Works", "stars": "5"}]
    file = write_rows(tmp_path / "a.jsonl", rows)
    label_map = LabelMap({"1": ("bad",), "5": ("good",)}, column="stars")
    assert [row.labels for row in read_examples(file, MOOD, label_map=label_map)] == [
        {"mood": ("bad",)},
        {"mood": ("good",)},
    ]


def test_unmapped_label_is_an_error_unless_the_map_is_partial(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", ROWS)
    table = {"good": ("good",)}
    with pytest.raises(DatasetError, match="label 'bad' is none of head 'mood'"):
        read_examples(file, MOOD, label_map=LabelMap(table))
    partial = read_examples(file, MOOD, label_map=LabelMap(table, skip_unmapped=True))
    assert [row.text for row in partial] == ['She said "fine", twice']


def test_map_onto_a_label_the_head_lacks_is_refused(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(DatasetError, match="label 'awful' is none of head 'mood'"):
        read_examples(file, MOOD, label_map=LabelMap({"bad": ("awful",), "good": ("good",)}))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"+": "good", "~": ["bad", "good"]}, LabelMap({"+": ("good",), "~": ("bad", "good")})),
        ({"mood": {"set": {"+": "good"}}}, LabelMap({"+": ("good",)})),
        ({"mood": "bad"}, LabelMap({"mood": ("bad",)})),
        (
            {"mood": {"set": {"by": "issue", "map": {"late": ["bad"]}}}},
            LabelMap({"late": ("bad",)}, column="issue", skip_unmapped=True),
        ),
    ],
)
def test_mapping_file_shapes(tmp_path, content, expected):
    (tmp_path / "map.json").write_text(json.dumps(content))
    assert read_label_map(tmp_path / "map.json", "mood", "set") == expected


def test_mapping_without_the_data_set_says_what_to_write(tmp_path):
    (tmp_path / "map.json").write_text('{"mood": {"other": {}}}')
    with pytest.raises(DatasetError, match="has no labels for head 'mood' and data set 'set'"):
        read_label_map(tmp_path / "map.json", "mood", "set")


def test_sentences_carry_every_head_their_row_names(tmp_path):
    header = "text\tsentiment\ttopic\trisk\n"
    (tmp_path / "news.tsv").write_text(header + '"Up" it says\tpositive\tmarkets_prices\t\n')
    (tmp_path / "ticket.tsv").write_text(header + "My card\tneutral\tcards\tlow\n")
    assert read_sentences(tmp_path, DEFAULT_HEADS) == [
        kind_of_file(example('"Up" it says', "news", sentiment="positive", topic="markets_prices")),
        kind_of_file(example("My card", "ticket", sentiment="neutral", topic="cards", risk="low")),
    ]


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


def test_kind_of_source_is_read_where_a_row_says_it(tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [{"text": "a", "label": "x", "source": "news"}, {"text": "b", "label": "x"}]
    file.write_text("\n".join(map(json.dumps, rows)))
    read = read_examples(file, Head(name="any", labels=("x",)))
    assert [one.kind for one in read] == ["news", ""]
