"""Scoring a file gives what the stream would say, in the order of the file."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from models.spec import ModelError
from models.stub import StubPredictor
from stream.config.settings import Settings, load_settings
from stream.files.lines import InputError
from stream.files.publish import Addresser
from stream.files.score import SLICE_LINES, score_file
from stream.ingest.dead_letter import DeadLetter
from stream.records import Origin


def write(folder: Path, *lines: bytes) -> Path:
    path = folder / "in.jsonl"
    path.write_bytes(b"\n".join(lines))
    return path


def read(path: Path) -> list[dict[str, object]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_records_come_out_in_the_order_they_went_in(tmp_path: Path) -> None:
    lines = [
        orjson.dumps({"source": "news", "id": f"n-{n}", "text": "word " * (1 + n * 7 % 40)})
        for n in range(150)
    ]
    output = tmp_path / "out.jsonl"
    summary = score_file(
        write(tmp_path, *lines),
        output,
        settings=load_settings(None),
        predictor=StubPredictor(batch_tokens=128),
    )
    assert [record["id"] for record in read(output)] == [f"n-{n}" for n in range(150)]
    assert (summary.scored, summary.dead_letters, summary.dead_letter_file) == (150, 0, None)


UNSAID = [b'{"text": "b"}', b'{"source": null, "text": "c"}', b'{"source": " ", "text": "d"}']


def test_source_names_the_kind_and_need_not_where_there_is_one(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    settings = load_settings(None)
    path = write(tmp_path, b'{"source": "ticket", "text": "a"}')
    score_file(path, output, settings=settings, predictor=StubPredictor())
    assert [(r["source"], r["id"]) for r in read(output)] == [("ticket", "tickets-0-0")]
    of_one_kind = settings.model_copy(update={"sources": settings.sources[2:]})
    path = write(tmp_path, *UNSAID)
    score_file(path, output, settings=of_one_kind, predictor=StubPredictor())
    assert [record["source"] for record in read(output)] == ["ticket"] * 3


def test_an_unknown_source_is_a_dead_letter_as_it_is_for_publish(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    settings = load_settings(None)
    lines = [b'{"source": "blog", "text": "a"}', b'{"source": 7, "text": "b"}', *UNSAID]
    path = write(tmp_path, *lines, b'{"source": "news", "text": "e"}')
    summary = score_file(path, output, settings=settings, predictor=StubPredictor())
    assert [record["source"] for record in read(output)] == ["news"]
    assert summary.dead_letter_file is not None
    letters = [
        DeadLetter.decode(line) for line in Path(summary.dead_letter_file).read_bytes().splitlines()
    ]
    assert [(one.reason, one.field, one.value, one.origin) for one in letters] == [
        ("unknown_source", "source", line, Origin("in.jsonl", 0, place))
        for place, line in enumerate(lines)
    ]
    published = [
        DeadLetter.decode(Addresser(settings).address(path, 1, line).value) for line in lines
    ]
    assert {one.detail for one in letters + published} == {
        'source must be one of news, social, ticket; add it to the line, such as "source": "news"'
    }


def test_where_there_is_one_kind_an_unknown_source_is_told_that_one(tmp_path: Path) -> None:
    settings = Settings(sources=[{"topic": "desk", "kind": "ticket"}])
    line = b'{"source": "blog", "text": "a"}'
    letter = Addresser(settings).address(tmp_path / "in.jsonl", 1, line).value
    assert DeadLetter.decode(letter).detail.startswith("source must be ticket; add it")


def test_what_cannot_be_scored_is_kept_beside_the_output_with_its_reason(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    path = write(
        tmp_path,
        b'{"source": "news", "text": "fine"}',
        b"not json",
        b'{"source": "news", "text": "poison"}',
    )
    summary = score_file(
        path, output, settings=load_settings(None), predictor=StubPredictor(fail_on="poison")
    )
    assert len(read(output)) == 1
    assert summary.dead_letter_file is not None
    letters = [
        DeadLetter.decode(line) for line in Path(summary.dead_letter_file).read_bytes().splitlines()
    ]
    assert {(letter.reason, letter.value) for letter in letters} == {
        ("not_json", b"not json"),
        ("model_error", b'{"source": "news", "text": "poison"}'),
    }


def test_copies_are_marked_as_a_worker_marks_them(tmp_path: Path) -> None:
    story = "Halcyon Robotics recalls its warehouse robots after two fires $HALC"
    posts = [story, f"RT @desk: {story} https://t.co/x", "Halcyon Robotics opens a plant $HALC"]
    lines = [
        orjson.dumps({"source": "social", "id": f"s-{n}", "text": text, "time": 1_780_000_000 + n})
        for n, text in enumerate(posts)
    ]
    output = tmp_path / "out.jsonl"
    summary = score_file(
        write(tmp_path, *lines), output, settings=load_settings(None), predictor=StubPredictor()
    )
    assert [(one["copy_of"], one["novelty"] == 1.0) for one in read(output)] == [
        ("", True),
        ("s-0", False),
        ("", True),
    ]
    assert summary.copies == 1


def test_a_broken_model_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        score_file(
            write(tmp_path, b'{"source": "news", "text": "the"}'),
            tmp_path / "out.jsonl",
            settings=load_settings(None),
            predictor=StubPredictor(fail_on="the"),
        )


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't be written"):
        score_file(
            write(tmp_path, b'{"source": "news", "text": "a"}'),
            tmp_path / "no" / "such" / "out.jsonl",
            settings=load_settings(None),
            predictor=StubPredictor(),
        )


@pytest.mark.parametrize("output", ["in.jsonl", "link.jsonl"])
def test_an_input_that_is_the_output_is_refused_and_left_whole(tmp_path: Path, output: str) -> None:
    path = write(tmp_path, b'{"source": "news", "text": "a"}')
    (tmp_path / "link.jsonl").symlink_to(path)
    with pytest.raises(InputError, match=r"input file .*in\.jsonl .*name another --output"):
        score_file(path, tmp_path / output, settings=load_settings(None), predictor=StubPredictor())
    assert path.read_bytes() == b'{"source": "news", "text": "a"}'


def test_an_input_that_is_the_dead_letter_file_is_refused_and_left_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl.dead-letters.jsonl"
    path.write_bytes(b'{"source": "news", "text": "a"}')
    with pytest.raises(InputError, match="name another --output"):
        score_file(
            path, tmp_path / "out.jsonl", settings=load_settings(None), predictor=StubPredictor()
        )
    assert path.read_bytes() == b'{"source": "news", "text": "a"}'


def test_a_run_that_fails_leaves_what_an_earlier_one_wrote_and_nothing_of_its_own(
    tmp_path: Path,
) -> None:
    output = tmp_path / "out.jsonl"
    earlier = write(tmp_path, b'{"source": "news", "text": "a"}', b"not json")
    score_file(earlier, output, settings=load_settings(None), predictor=StubPredictor())
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    broken = [b'{"source": "news", "text": "a b"}'] * SLICE_LINES + [
        b'{"source": "news", "text": "the"}'
    ]
    before[earlier] = write(tmp_path, *broken).read_bytes()
    with pytest.raises(ModelError):
        score_file(
            earlier, output, settings=load_settings(None), predictor=StubPredictor(fail_on="the")
        )
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_clean_run_takes_the_dead_letters_of_an_earlier_one_away(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    for line in (b"not json", b'{"source": "news", "text": "b"}'):
        score_file(
            write(tmp_path, b'{"source": "news", "text": "a"}', line),
            output,
            settings=load_settings(None),
            predictor=StubPredictor(),
        )
    assert {file.name for file in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


def test_a_file_of_which_nothing_can_be_scored_is_named_with_the_reasons(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_bytes(b"of an earlier run")
    path = write(tmp_path, b'{"source": "news"}', b'{"source": "news", "text": ""}', b"[1]")
    with pytest.raises(InputError, match=r"in\.jsonl: no line can be scored .2 no_text, 1 not_an"):
        score_file(path, output, settings=load_settings(None), predictor=StubPredictor())
    assert output.read_bytes() == b"of an earlier run"
    reasons = (tmp_path / "out.jsonl.dead-letters.jsonl").read_bytes().splitlines()
    assert len(reasons) == 3


def test_an_empty_file_is_scored_to_an_empty_one(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    score_file(write(tmp_path), output, settings=load_settings(None), predictor=StubPredictor())
    assert output.read_bytes() == b""


def test_what_is_no_file_is_written_to_and_stays_what_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        path = write(tmp_path, b'{"source": "news", "text": "a"}')
        score_file(path, pipe, settings=load_settings(None), predictor=StubPredictor())
        assert orjson.loads(os.read(reader, 100_000))["text"] == "a"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
