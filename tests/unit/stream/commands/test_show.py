"""What a table of a command looks like in a narrow terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stream import show

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


def test_a_long_id_leaves_room_for_what_stands_beside_it(screen: io.StringIO) -> None:
    show.table("letters", [{"id": LONG, "why": "not_json"}], columns=("id", "why"))
    cells = [line.split("│")[1:3] for line in screen.getvalue().splitlines() if "│" in line]
    assert "".join(name.strip() for name, _ in cells) == LONG
    assert [why.strip() for _, why in cells if why.strip()] == ["not_json"]
