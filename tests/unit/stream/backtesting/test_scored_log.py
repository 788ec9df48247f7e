"""Scored records of a file, in the order in which they were judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.backtesting.scored_log import read_file
from stream.files.lines import InputError
from stream.records import Scored, encode
from tests.fakes import scored


def written(path: Path, *records: Scored) -> Path:
    path.write_bytes(b"".join(encode(one) + b"\n" for one in records))
    return path


def test_a_file_of_several_workers_is_read_in_the_order_of_its_turns(tmp_path: Path) -> None:
    turns = {"a": (30, 31), "b": (10, 11), "c": (20, 21)}
    file = written(tmp_path / "of-workers.jsonl", *(scored(id=k, turn=v) for k, v in turns.items()))
    assert [one.id for one in read_file(file)] == ["b", "c", "a"]


def test_a_file_that_was_scored_without_workers_is_read_as_it_is(tmp_path: Path) -> None:
    file = written(tmp_path / "scored.jsonl", *(scored(id=name) for name in "cab"))
    assert [one.id for one in read_file(file)] == ["c", "a", "b"]


@pytest.mark.parametrize("turn", [None, (10, 11)], ids=["without turns", "with turns"])
def test_what_is_no_record_is_named_by_its_line(
    tmp_path: Path, turn: tuple[int, int] | None
) -> None:
    file = written(tmp_path / "broken.jsonl", scored(id="a", turn=turn))
    with file.open("ab") as lines:
        lines.write(b'\n{"id": 1}\n')
    with pytest.raises(InputError, match="line 3: is no scored record"):
        list(read_file(file))


def test_a_file_without_records_has_none_and_one_of_something_else_is_refused(
    tmp_path: Path,
) -> None:
    empty, other = tmp_path / "empty.jsonl", tmp_path / "other.jsonl"
    empty.write_bytes(b"\n")
    other.write_bytes(b"[]\n")
    assert list(read_file(empty)) == []
    with pytest.raises(InputError, match="line 1: is no scored record"):
        list(read_file(other))
