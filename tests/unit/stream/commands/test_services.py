"""publish says what it sent and what it refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from stream import outbox, topics
from stream.commands import services
from stream.outbox import Outgoing
from stream.settings import Settings, load_settings

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
    ran = CliRunner().invoke(services.publish, [feed, "--json"], obj=load_settings(None))
    assert ran.exit_code == 0, ran.output
    assert orjson.loads(ran.output) == {
        "published": 2,
        "dead_letters": 2,
        "dead_letters_by_reason": {"unknown_source": 2},
    }


def test_people_see_them_too(feed: str) -> None:
    ran = CliRunner().invoke(services.publish, [feed], obj=load_settings(None))
    shown = [" ".join(line.replace("│", " ").split()) for line in ran.output.splitlines()]
    assert {"published 2", "dead_letters 2", "dead_letters_by_reason unknown_source 2"} <= set(
        shown
    )
