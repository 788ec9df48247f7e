"""publish says what it sent and what it refused, demo that its input is missing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from stream.commands import demo, publish
from stream.config.settings import Settings, load_settings
from stream.connections import outbox, topics
from stream.connections.outbox import Outgoing
from stream.files.lines import InputError, check_readable, read_lines

LINES = (
    b'{"source": "news", "text": "a"}\n{"source": "mail", "text": "b"}\n{"text": "c"}\nnot json\n'
)


class Outbox:
    def __init__(self, _arguments: Any) -> None:
        pass

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def send(self, records: Sequence[Outgoing]) -> None:
        pass


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    async def prepared(_settings: Settings) -> None:
        pass

    monkeypatch.setattr(outbox, "Outbox", Outbox)
    monkeypatch.setattr(topics, "prepare_topics", prepared)
    path = tmp_path / "feed.jsonl"
    path.write_bytes(LINES)
    return str(path)


def test_refused_lines_are_reported_by_reason_and_not_counted_as_published(feed: str) -> None:
    ran = CliRunner().invoke(publish.publish, [feed, "--json"], obj=load_settings(None))
    assert ran.exit_code == 0, ran.output
    assert orjson.loads(ran.output) == {
        "published": 2,
        "dead_letters": 2,
        "dead_letters_by_reason": {"unknown_source": 2},
    }


def test_a_demo_without_its_input_says_so_before_the_model_is_loaded(
    feed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_settings: Settings) -> None:
        raise AssertionError

    monkeypatch.setattr(demo, "load_predictor", load)
    arguments = ["--input", feed, "--input", f"{feed}.absent", "--no-console"]
    ran = CliRunner().invoke(demo.demo, arguments, obj=load_settings(None))
    assert isinstance(ran.exception, InputError)
    assert "feed.jsonl.absent can't be read" in str(ran.exception)


def test_looking_at_an_input_takes_nothing_out_of_a_pipe() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        pipe.write(LINES)
    try:
        path = Path(f"/dev/fd/{reading}")
        check_readable([path])
        assert b"".join(line + b"\n" for _, _, line in read_lines([path])) == LINES
    finally:
        os.close(reading)


def test_people_see_them_too(feed: str) -> None:
    ran = CliRunner().invoke(publish.publish, [feed], obj=load_settings(None))
    shown = [" ".join(line.replace("│", " ").split()) for line in ran.output.splitlines()]
    assert {"published 2", "dead_letters 2", "dead_letters_by_reason unknown_source 2"} <= set(
        shown
    )
