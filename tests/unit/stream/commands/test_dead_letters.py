from __future__ import annotations

from typing import get_args

import pytest
from click.testing import CliRunner

from stream.commands.dead_letters import dead_letters
from stream.config.settings import load_settings
from stream.ingest.dead_letter import DeadLetter, Reason
from stream.operations import dead_letter_log, dead_letter_replay
from stream.operations.dead_letter_log import Listing
from stream.operations.dead_letter_replay import Outcome, Refused
from stream.records import Origin
from tests.fakes import NOON


def test_a_dead_letter_is_listed_with_how_its_record_begins_as_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    letter = DeadLetter(
        origin=Origin("news", 0, 7),
        reason="not_json",
        field="",
        detail="the record is not JSON",
        key=None,
        value=b"<xml>\xff\x1b[31m" + b"x" * 5_000,
        time=NOON,
    )

    async def read(*_: object, **__: object) -> Listing:
        return Listing([letter], {}, 0)

    monkeypatch.setattr(dead_letter_log, "list_dead_letters", read)
    monkeypatch.setattr("stream.terminal.show.stdout._width", 200)  # width would stay set
    ran = CliRunner().invoke(dead_letters, ["list"], obj=load_settings(None))
    assert ran.exit_code == 0, ran.output
    assert "begins with" in ran.output
    assert r"<xml>�\x1b[31m" in ran.output
    assert ran.output.count("x") < 250


def test_what_was_not_replayed_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Outcome(False, replayed=1, refused=[Refused("news-0-7", "has failed 3 times")])

    async def send(*_: object, **__: object) -> Outcome:
        return outcome

    monkeypatch.setattr(dead_letter_replay, "replay", send)
    ran = CliRunner().invoke(dead_letters, ["replay"], obj=load_settings(None))
    assert ran.exit_code == 0, ran.output
    assert "not replayed: 1" in ran.output
    assert ran.output.count("has failed 3 times") == 1


@pytest.mark.parametrize("command", ["list", "replay"])
def test_a_reason_that_is_none_is_refused_with_those_that_are(command: str) -> None:
    ran = CliRunner().invoke(dead_letters, [command, "--reason", "no_txt"])
    assert ran.exit_code == 2
    assert "'no_txt' is not one of" in ran.output
    assert all(f"'{reason}'" in ran.output for reason in get_args(Reason))
