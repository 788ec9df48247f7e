"""Labelled files are read whole or refused with row and remedy; what teaches nothing is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.spec import Head
from stream.config.settings import Limits, Source
from stream.files.lines import Line
from stream.ingest.sources import Decoder
from stream.records import model_text
from tests.fakes import NOON
from trainer.data.dataset import Example
from trainer.data.labelled_file import (
    Labelled,
    LabelledFile,
    LabelMap,
    read_label_map,
    read_labelled,
)
from trainer.errors import DatasetError

MOOD = Head(name="mood", labels=("bad", "good"))
ROWS = [{"text": "It broke", "label": "bad"}, {"text": 'She said "fine", twice', "label": "good"}]


def read_file(file: Path, head: Head, **columns: Any) -> Labelled:
    return read_labelled(LabelledFile(file, **columns), head)


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


def example(text: str, source: str = "here", **labels: str) -> Example:
    return Example(text, source, {head: (label,) for head, label in labels.items()})


@pytest.mark.parametrize("suffix", ["jsonl", "tsv", "csv"])
def test_rows_read_the_same_from_every_format(tmp_path, suffix):
    file = write_rows(tmp_path / f"reviews.{suffix}", ROWS)
    assert read_file(file, MOOD).examples == [
        example("It broke", "reviews", mood="bad"),
        example('She said "fine", twice', "reviews", mood="good"),
    ]


def test_unknown_label_names_row_and_remedy(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", [*ROWS, {"text": "Hm", "label": "meh"}])
    with pytest.raises(DatasetError, match=r"a\.jsonl: row 3: label 'meh' .*bad, good.*--mapping"):
        read_file(file, MOOD)


def test_missing_column_names_the_columns_there_are(tmp_path):
    file = write_rows(tmp_path / "a.tsv", ROWS)
    with pytest.raises(DatasetError, match="no column 'body', only text, label; name the right"):
        read_file(file, MOOD, text_column="body")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.jsonl", '{"text": 1}\nnonsense', "line 2 is no JSON object"),
        ("a.xlsx", "", r"ends in none of \.jsonl, \.tsv, \.csv"),
        ("a.csv", "text;label\nfine;good\n", "parted by a semicolon, where a .csv has commas"),
        (
            "a.csv",
            '"text";"label"\n"fine";"good"\n',
            "parted by a semicolon, where a .csv has commas",
        ),
        ("a.csv", 'text;label\n"fine";good\n', "parted by a semicolon, where a .csv has commas"),
        ("a.tsv", "text,label\nfine,good\n", "parted by a comma"),
        ("a.csv", 'text,label\nfine,good\n"open,bad\nx,bad\n', "row 2, which begins in line 3,"),
        (
            "a.csv",
            'text,label\n"two\nlines",bad\n"open,x\n"y",bad\n',
            "row 2, which begins in line 4",
        ),
        ("a.csv", '"text,label\nfine,good\n', "begins in line 1,"),
        ("a.jsonl", '{"text": "a \\ud800 b", "label": "bad"}', "line 1 holds half of a character"),
        ("a.jsonl", '{"text": "a", "label": "\\udfff"}', "line 1 holds half of a character"),
        ("a.jsonl", '{"text": "a", "label": ["bad"]}', "row 1: column 'label' holds a list"),
        ("a.jsonl", '{"text": {"a": 1}, "label": "bad"}', "row 1: column 'text' holds an object"),
        ("a.jsonl", f'{{"text": {"[" * 100_000}{"]" * 100_000}}}', "line 1 is no JSON object"),
        ("a.csv", "text,label,label\nfine,good,bad\n", "has the column 'label' twice"),
        ("a.tsv", "text\ttext\tlabel\nfine\tok\tbad\n", "has the column 'text' twice"),
        (
            "a.csv",
            "text,label\nfine,good\nIt broke,bad,good\n",
            "row 2, which begins in line 3, has more fields than there are columns",
        ),
        ("a.tsv", "text\tlabel\nIt\tbad\tgood\n", "row 1, which begins in line 2, has more"),
        ("a.csv", "\ntext,label\nfine,good\n", "begins with the line '', where the names"),
        ("a.csv", "sep=,\ntext,label\nfine,good\n", "begins with the line 'sep=,', where"),
        ("a.tsv", f"text\tlabel\n{'x' * 10_000_001}\tbad\n", "row 1, .*field larger"),
    ],
)
def test_unusable_file_is_refused(tmp_path, name, content, complaint):
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=complaint):
        read_file(tmp_path / name, MOOD)


def test_separators_with_nothing_behind_them_are_no_further_fields(tmp_path):
    file = tmp_path / "here.csv"
    file.write_text("text,label,,\nIt broke,bad,,, \n")
    assert read_file(file, MOOD).examples == [example("It broke", mood="bad")]


def test_a_number_that_is_none_is_no_label_and_no_text(tmp_path):
    file = tmp_path / "here.jsonl"
    file.write_text(
        '{"text": "It broke", "label": "bad"}\n{"text": "Hm", "label": NaN}\n'
        '{"text": NaN, "label": "bad"}\n'
    )
    read = read_file(file, MOOD)
    assert read.examples == [example("It broke", mood="bad")]
    assert read.remarks == [
        "1 rows without a text are left out",
        "1 rows without a label are left out",
    ]


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"gone\.csv: can't be read \(No such file"):
        read_file(tmp_path / "gone.csv", MOOD)


def mapping(folder: Path, content: object) -> Path:
    (folder / "map.json").write_text(json.dumps(content))
    return folder / "map.json"


def test_label_map_reads_labels_of_one_column_for_the_head(tmp_path):
    rows = [
        {"text": "It broke", "stars": "1"},
        {"text": "Works", "stars": "5"},
        {"text": "Hm", "stars": "3"},
    ]
    file = write_rows(tmp_path / "a.jsonl", rows)
    table = mapping(tmp_path, {"mood": {"a": {"by": "stars", "map": {"1": "bad", "5": "good"}}}})
    read = read_file(file, MOOD, mapping=table)
    assert [row.labels for row in read.examples] == [{"mood": ("bad",)}, {"mood": ("good",)}]
    assert read.remarks == ["1 rows without a label are left out"]


def test_a_label_that_the_mapping_lacks_must_be_the_heads_own(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", [*ROWS, {"text": "Hm", "label": "+"}])
    read = read_file(file, MOOD, mapping=mapping(tmp_path, {"+": "good"}))
    assert [row.labels["mood"] for row in read.examples] == [("bad",), ("good",), ("good",)]
    with pytest.raises(
        DatasetError, match=r"row 3: label '\+' is none of .* add it to the mapping"
    ):
        read_file(file, MOOD, mapping=mapping(tmp_path, {"-": "bad"}))


def test_a_label_with_its_accents_apart_is_the_one_that_people_type(tmp_path):
    apart = [
        {"text": "It came back", "label": "Ru\u0308ckgabe"},
        {"text": "Hm", "label": "re\u0301"},
    ]
    file = write_rows(tmp_path / "a.jsonl", apart)
    for labels in ((), ("Rückgabe", "ré")):
        read = read_file(file, Head(name="queue", labels=labels))
        assert [row.labels["queue"] for row in read.examples] == [("Rückgabe",), ("ré",)]
    for typed in ("Rückgabe", "Ru\u0308ckgabe"):
        table = mapping(tmp_path, {typed: "bad", "ré": "good"})
        read = read_file(file, MOOD, mapping=table)
        assert [row.labels["mood"] for row in read.examples] == [("bad",), ("good",)]
    as_fitted_before = Head(name="queue", labels=tuple(row["label"] for row in apart))
    read = read_file(file, as_fitted_before)
    assert [row.labels["queue"] for row in read.examples] == [
        (one,) for one in as_fitted_before.labels
    ]


def test_map_onto_a_label_the_head_lacks_is_refused(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", ROWS)
    table = mapping(tmp_path, {"bad": "awful", "good": "good"})
    with pytest.raises(DatasetError, match="label 'awful' is none of head 'mood'"):
        read_file(file, MOOD, mapping=table)


def test_an_empty_mapping_maps_nothing(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", ROWS)
    assert len(read_file(file, MOOD, mapping=mapping(tmp_path, {})).examples) == 2


def test_half_a_character_in_a_mapping_is_refused(tmp_path):
    file = write_rows(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(DatasetError, match=r"map\.json: holds half of a character"):
        read_file(file, MOOD, mapping=mapping(tmp_path, {"bad": "\ud800"}))


def test_rows_without_text_or_label_are_left_out_and_blanks_around_them_do_not_count(tmp_path):
    file = tmp_path / "a.jsonl"
    rows = [
        {"text": " fine ", "label": " good "},
        {"text": None, "label": "good"},
        {"text": "a", "label": None},
        {"text": "b", "label": " "},
    ]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n  \n")
    read = read_file(file, MOOD)
    assert read.examples == [example("fine", "a", mood="good")]
    assert read.remarks == [
        "1 rows without a text are left out",
        "2 rows without a label are left out",
    ]


def test_a_whole_number_is_one_label_however_it_is_written(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(
        "\n".join(json.dumps({"text": "a", "label": one}) for one in (1, 1.0, "1", 0, 0.5))
    )
    read = read_file(file, Head(name="stars", labels=()))
    assert [row.labels["stars"] for row in read.examples] == [
        ("1",),
        ("1",),
        ("1",),
        ("0",),
        ("0.5",),
    ]


def test_endings_may_be_capitals(tmp_path):
    assert (
        len(
            read_file(
                write_rows(tmp_path / "A.csv", ROWS).rename(tmp_path / "A.CSV"), MOOD
            ).examples
        )
        == 2
    )


def test_a_quote_within_a_quoted_field_is_written_twice(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text('text,label\n"She said ""fine"", twice\nand left",good\n')
    assert read_file(file, MOOD).examples[0].text == 'She said "fine", twice and left'


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


def test_kind_of_source_is_read_where_a_row_says_it(tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [{"text": "a", "label": "x", "source": "news"}, {"text": "b", "label": "x"}]
    file.write_text("\n".join(map(json.dumps, rows)))
    read = read_file(file, Head(name="any", labels=("x",))).examples
    assert [one.kind for one in read] == ["news", ""]


def test_a_source_that_the_stream_does_not_know_is_none_and_said(tmp_path):
    rows = [ROWS[0] | {"source": "email"}, ROWS[1] | {"source": "social"}]
    read = read_file(write_rows(tmp_path / "a.csv", rows), MOOD)
    assert [one.kind for one in read.examples] == ["", "social"]
    assert read.remarks == [
        "1 rows whose source is none of news, social, ticket count as of no known source"
    ]


TITLED = [
    {"title": "Refund &amp; fee", "text": "Hello\u200b&nbsp; team,\nplease", "label": "bad"},
    {"title": "Works", "text": None, "label": "good"},
    {"title": "Again", "text": "Again and again", "label": "bad"},
    {"text": "no title", "label": "good"},
]


def test_a_row_is_read_as_the_stream_reads_an_event_of_it(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, TITLED)))
    read = read_file(file, MOOD)
    decoder = Decoder(Source(topic="tickets", kind="ticket"), Limits())
    events = [
        decoder.decode(Line("tickets", at, json.dumps(row).encode()), NOON)
        for at, row in enumerate(TITLED)
    ]
    assert [one.text for one in read.examples] == [
        model_text(event.title, event.text) for event in events
    ]
    assert read.examples[0].text == "Refund & fee. Hello team, please"
    assert read.remarks == [
        "column 'title' is read as the title, before the text, as in the stream"
    ]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"title_column": "subject"}, "Lamp. It broke"),
        ({"text_column": "subject", "title_column": "subject"}, "Lamp"),
        # A label that is read as text would be learnt from.
        ({"label_column": "title"}, "It broke"),
    ],
)
def test_another_column_may_hold_the_title_but_no_column_is_read_twice(tmp_path, columns, text):
    row = {"subject": "Lamp", "text": "It broke", "title": "bad", "label": "bad"}
    file = write_rows(tmp_path / "a.csv", [row])
    assert read_file(file, MOOD, **columns).examples[0].text == text


def test_a_title_column_that_somebody_named_must_be_there(tmp_path):
    file = write_rows(tmp_path / "a.csv", ROWS)
    with pytest.raises(DatasetError, match=r"row 1 has no column 'subject'.* with --title-column"):
        read_file(file, MOOD, title_column="subject")
