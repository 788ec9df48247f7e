"""Somebody's own file: what can be learnt from is found, what can't gets one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.spec import Head
from stream.rules.templates import PLACEHOLDERS
from stream.rules.variables import EVENT_FIELDS, sample
from trainer.data.labelled_file import LabelledFile
from trainer.data.user_file import RESERVED, UserFile, read_texts, read_user_file
from trainer.errors import DatasetError

RISK = Head(name="risk", labels=("low", "medium", "high"))
ROWS = [
    (f"ferry number {n} {'broke' if n % 2 else 'sailed'}", "bad" if n % 2 else "good")
    for n in range(12)
]


def write(folder: Path, rows: list[tuple[str, str]], *, header: str = "text\tlabel") -> Path:
    file = folder / "own.tsv"
    file.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n", "utf-8")
    return file


def read(file: Path, name: str = "mood", **columns: Any) -> UserFile:
    return read_user_file(LabelledFile(file, **columns), name, [RISK])


def test_new_head_has_the_labels_of_the_file_in_order(tmp_path):
    own = read(write(tmp_path, ROWS))
    assert own.head == Head(name="mood", labels=("bad", "good"))
    assert len(own.examples) == 12
    assert own.examples[0].labels == {"mood": ("good",)}
    assert own.remarks == []


def test_known_head_keeps_its_labels_even_if_the_file_lacks_one(tmp_path):
    rows = [(text, "low" if label == "good" else "high") for text, label in ROWS]
    assert read(write(tmp_path, rows), "risk").head == RISK


def test_known_head_takes_foreign_labels_through_a_mapping(tmp_path):
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({"good": "low", "bad": "high"}))
    own = read(write(tmp_path, ROWS), "risk", mapping=mapping)
    assert {example.labels["risk"] for example in own.examples} == {("low",), ("high",)}


def test_rows_that_teach_nothing_are_left_out_and_counted(tmp_path):
    rows = [*ROWS, ("", "bad"), ("no label here", ""), ROWS[0], (ROWS[1][0], "good")]
    own = read(write(tmp_path, rows))
    assert len(own.examples) == 11
    assert own.remarks == [
        "1 rows without a text are left out",
        "1 rows without a label are left out",
        "3 rows repeat a text or contradict another row of the same text",
    ]


def test_label_with_a_single_text_is_named(tmp_path):
    own = read(write(tmp_path, [*ROWS, ("a strange tale", "odd")]))
    assert own.head.labels == ("bad", "good", "odd")
    assert any("'odd'" in remark for remark in own.remarks)


def test_label_whose_texts_others_contradict_is_none_of_the_head_and_named(tmp_path):
    own = read(write(tmp_path, [*ROWS, (ROWS[0][0], "ghost")]))
    assert own.head.labels == ("bad", "good")
    assert own.remarks[-1] == (
        "labels of which no text is left, as others contradict them all: 'ghost'"
    )


def test_numbers_are_labels_and_zero_is_one_of_them(tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [{"text": f"text {n}", "label": n % 2} for n in range(12)]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert read(file).head.labels == ("0", "1")


def test_kind_of_source_is_read_where_the_row_has_it(tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [{"text": t, "label": label, "source": "ticket"} for t, label in ROWS]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert {example.kind for example in read(file).examples} == {"ticket"}


@pytest.mark.parametrize(
    ("rows", "header", "name", "said"),
    [
        (ROWS, "body\tlabel", "mood", ["row 1 has no column 'text'", "body", "--text-column"]),
        (ROWS, "text\t label", "mood", ["has no column 'label', only text, ' label'"]),
        (ROWS, "text\tmood", "mood", ["no column 'label'", "--label-column"]),
        (ROWS[:3], "text\tlabel", "mood", ["3 different labelled texts", "at least 10"]),
        ([], "text\tlabel", "mood", ["0 different labelled texts"]),
        ([(t, "bad") for t, _ in ROWS], "text\tlabel", "mood", ["every text has the label 'bad'"]),
        (
            [(t, t) for t, _ in ROWS],
            "text\tlabel",
            "mood",
            ["12 different values", "--label-column"],
        ),
        (ROWS, "text\tlabel", "risk", ["row 1: label 'good' is none of head 'risk'", "--mapping"]),
    ],
)
def test_file_that_can_not_be_learnt_from_is_refused(tmp_path, rows, header, name, said):
    file = write(tmp_path, rows, header=header)
    with pytest.raises(DatasetError) as caught:
        read(file, name)
    for words in (str(file), *said):
        assert words in str(caught.value)


@pytest.mark.parametrize("name", ["event", "my-head", "Mood", "in", "", "text", "source"])
def test_head_that_rules_could_not_name_is_refused(tmp_path, name):
    with pytest.raises(DatasetError, match=f"--head {name}: rules could not name it"):
        read(write(tmp_path, ROWS), name)


def test_every_name_that_rules_give_a_meaning_is_reserved():
    assert {*EVENT_FIELDS, *PLACEHOLDERS, *sample(())} <= set(RESERVED)


def test_a_model_that_has_a_head_of_a_reserved_name_can_still_be_taught(tmp_path):
    text = Head(name="text", labels=("bad", "good"))
    assert read_user_file(LabelledFile(write(tmp_path, ROWS)), "text", [text]).head == text


def test_labels_that_the_mapping_leaves_open_are_not_learnt(tmp_path):
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({"good": "low", "bad": "high", "odd": ["medium", "high"]}))
    own = read(write(tmp_path, [*ROWS, ("a strange tale", "odd")]), "risk", mapping=mapping)
    assert len(own.examples) == 12
    assert own.remarks == ["1 rows whose label the mapping leaves open are left out"]


def test_label_that_the_mapping_lacks_is_named_with_its_row(tmp_path):
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({"good": "low"}))
    with pytest.raises(
        DatasetError, match=r"row 2: label 'bad' is none of head .* add it to the mapping"
    ):
        read(write(tmp_path, ROWS), "risk", mapping=mapping)


def test_wrong_encoding_is_said(tmp_path):
    file = tmp_path / "own.tsv"
    file.write_bytes("text\tlabel\nMüller\tgood\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="not UTF-8"):
        read(file)


@pytest.mark.parametrize(
    ("label", "named"),
    [
        ("b\u200bad", "with characters that are not seen"),
        ("late\u00a0one", "with characters that are not seen"),
        ("\x1b[31mbad", "with characters that are not seen"),
        ('"bad"', "a .tsv is read without quotes"),
    ],
)
def test_a_label_that_nobody_could_type_is_refused_for_a_new_head(tmp_path, label, named):
    rows = [(text, label if said == "bad" else said) for text, said in ROWS]
    with pytest.raises(DatasetError) as refusal:
        read(write(tmp_path, rows))
    assert repr(label) in str(refusal.value)
    assert named in str(refusal.value)
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({label: "bad", "good": "good"}))
    assert read(write(tmp_path, rows), mapping=mapping).head.labels == ("bad", "good")


def test_a_label_may_join_its_letters_as_persian_does(tmp_path):
    rows = [(text, "نمی\u200cشود" if said == "bad" else said) for text, said in ROWS]
    assert "نمی\u200cشود" in read(write(tmp_path, rows)).head.labels


@pytest.mark.parametrize("spelling", ["Bad", "BAD", "\uff42\uff41\uff44", "b\u200bad"])
def test_one_label_in_two_spellings_is_refused_by_name(tmp_path, spelling):
    file = write(tmp_path, [*ROWS, ("a strange tale", spelling), ("another tale", f" {spelling} ")])
    with pytest.raises(DatasetError) as caught:
        read(file)
    for words in ("'bad' (6 texts)", f"{spelling!r} (2 texts)", "--mapping"):
        assert words in str(caught.value)
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({spelling: "bad", "good": "good"}))
    assert read(file, mapping=mapping).head.labels == ("bad", "good")


def texts(file: Path, text_column: str = "text") -> list[str]:
    return read_texts(file, text_column=text_column, title_column="title")


def test_unlabelled_texts_come_from_tables_and_plain_files(tmp_path):
    plain = tmp_path / "texts.txt"
    plain.write_text("one\n\ntwo &amp;  so on\none\n", "utf-8")
    assert texts(plain) == ["one", "two & so on"]
    plain.write_bytes("one\u2028two\x85three\r\nfour\n".encode())
    assert texts(plain) == ["one two three", "four"]
    assert len(texts(write(tmp_path, ROWS))) == 12
    with pytest.raises(DatasetError, match="no column 'body'"):
        texts(write(tmp_path, ROWS), "body")
    titled = write(tmp_path, [("here", "Ferry"), ("here", "Radio")], header="text\ttitle")
    assert texts(titled) == ["Ferry. here", "Radio. here"]


def test_copies_are_told_by_the_text_that_the_model_reads(tmp_path):
    file = tmp_path / "own.jsonl"
    rows = [
        *({"title": text, "text": "see above", "label": label} for text, label in ROWS),
        {"title": f"&nbsp;{ROWS[0][0]}\u200b", "text": "see  above", "label": ROWS[0][1]},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    own = read(file)
    assert [one.text for one in own.examples[:2]] == [
        "ferry number 0 sailed. see above",
        "ferry number 1 broke. see above",
    ]
    assert len(own.examples) == 12
    assert any("1 rows repeat a text" in remark for remark in own.remarks)
