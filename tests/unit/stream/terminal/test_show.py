"""What a table of a command looks like in a narrow terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from rich.console import Console

from stream.commands.alerts import COLUMNS, LEAST
from stream.terminal import show
from tests.fakes import alert

SHORT = "a0e8df555d4e5b0b-12"
LONG = (
    "https://example.org/feeds/market/2026/11/28/a-story-with-a-long-slug-that-goes-on-1234567890"
)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    monkeypatch.setattr(show, "stdout", Console(file=shown, width=60, color_system=None))
    return shown


def test_an_id_can_be_copied_from_a_table_wider_than_the_terminal(screen: io.StringIO) -> None:
    row = {"id": SHORT, "state": "firing", "subject": "ticker:HALC", "title": "tone turned " * 9}
    show.table("alerts", [row], columns=tuple(row))
    lines = screen.getvalue().splitlines()
    assert any(SHORT in line for line in lines)
    assert max(map(len, lines)) == 60


def test_a_long_id_is_cut_in_the_middle_and_leaves_room(screen: io.StringIO) -> None:
    show.table("letters", [{"id": LONG, "why": "not_json"}], columns=("id", "why"))
    cells = [line.split("│")[1:3] for line in screen.getvalue().splitlines() if "│" in line]
    begin, _, end = "".join(name.strip() for name, _ in cells).partition("…")
    assert (len(begin), len(end)) == (16, 15)
    assert LONG.startswith(begin)
    assert LONG.endswith(end)
    assert [why.strip() for _, why in cells if why.strip()] == ["not_json"]


def test_no_heading_and_no_short_word_is_broken_where_columns_may_be_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(show, "stdout", Console(file=shown, width=80, color_system=None))
    long = alert(
        severity="critical",
        state="acknowledged",
        subject=f"customer:{'x' * 503}",
        title="Negative news on a customer with a very long identity",
    )
    show.table("open alerts", [long, alert()], columns=COLUMNS, least=LEAST)
    printed = shown.getvalue()
    words = printed.replace("│", " ").replace("┃", " ").split()
    for whole in ("severity", "critical", "acknowledged", "Negative", "ticker:HALC", long.id):
        assert whole in words
    assert "no room for count, last_seen;" in printed
    assert len(printed.splitlines()) < 20
    assert max(map(len, printed.splitlines())) <= 80


def test_a_wide_terminal_has_every_column_and_the_time_in_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(show, "stdout", Console(file=shown, width=140, color_system=None))
    show.table("open alerts", [alert()], columns=COLUMNS, least=LEAST)
    assert "last_seen" in shown.getvalue()
    assert "2026-03-12 12:00:00Z" in shown.getvalue()
    assert "no room" not in shown.getvalue()


def test_a_row_that_goes_into_a_pipe_is_one_line() -> None:
    code = (
        "from stream.terminal import show; "
        "show.table('rows', [{'id': 'x' * 200, 'text': 'needle ' * 40}], columns=('id', 'text'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    (line,) = (line for line in ran.stdout.splitlines() if "needle" in line)
    assert line.count("needle") == 40
    assert "x" * 200 in line


def test_each_of_several_has_a_row_of_its_own_and_is_shown_whole(screen: io.StringIO) -> None:
    events = ({"id": "e-1", "text": "a" * 400}, {"id": "e-2", "text": "b" * 9_000})
    show.record("alert", {"evidence": events, "rule": "r"}, as_json=False)
    printed = screen.getvalue()
    rows = [line.split("│")[1:3] for line in printed.splitlines() if "│" in line]
    assert [name.strip() for name, _ in rows if name.strip()] == ["evidence", "rule"]
    assert [text.strip().partition(",")[0] for _, text in rows if "id e-" in text] == [
        "id e-1",
        "id e-2",
    ]
    joined = "".join(text.strip() for _, text in rows)
    assert "a" * 400 in joined
    assert "b" * 2_000 + "…" in joined
    assert "b" * 2_001 not in joined


def test_a_table_cut_short_says_how_many_rows_there_are(screen: io.StringIO) -> None:
    rows = [{"id": f"row-{number}"} for number in range(30)]
    show.table("alerts", rows, columns=("id",), shown=20)
    printed = screen.getvalue()
    assert "alerts: 20 of 30" in printed
    assert "… and 10 more; --json has all" in printed
    assert "row-19" in printed
    assert "row-20" not in printed


def test_a_table_without_rows_is_its_title_alone(screen: io.StringIO) -> None:
    show.table("open alerts", [], columns=COLUMNS, least=LEAST)
    assert screen.getvalue() == "open alerts: 0\n"


def test_a_time_is_broken_before_a_subject_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(show, "stdout", Console(file=shown, width=110, color_system=None))
    title = "A wave of tickets about regulation_legal: 14.99 lately"
    one = alert(severity="critical", subject="topic:regulation_legal", title=title)
    show.table("open alerts", [one], columns=COLUMNS, least=LEAST)
    assert "topic:regulation_legal" in shown.getvalue()
    assert "no room" not in shown.getvalue()


def test_of_a_record_only_what_it_holds_is_shown_and_times_as_in_tables(
    screen: io.StringIO,
) -> None:
    at = datetime(2026, 3, 12, 12, 0, 0, 5, tzinfo=UTC)
    show.record("silence", {"at": at, "starts": None, "by": {}, "hidden": 0}, as_json=False)
    rows = [line.split("│")[1:3] for line in screen.getvalue().splitlines() if "│" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["at", "2026-03-12 12:00:00Z"],
        ["hidden", "0"],
    ]
