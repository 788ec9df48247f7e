"""Dead letters over HTTP: each is sent again once, whoever asks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stream.console import dead_letters_api
from stream.operations.dead_letter_replay import Outcome
from tests.unit.stream.console.conftest import Caller

WISH = {"ids": ["tickets-0-7"]}


async def test_of_two_who_replay_at_once_the_second_sees_what_the_first_has_sent(
    page: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: set[str] = set()

    async def replay(_settings: Any, wanted: Any, **_: Any) -> Outcome:
        known = set(marked)
        for _turn in range(100):  # whoever else is let in looks before this one has marked
            await asyncio.sleep(0)
        marked.update(wanted.ids)
        return Outcome(dry_run=False, replayed=len(set(wanted.ids) - known))

    monkeypatch.setattr(dead_letters_api, "replay", replay)
    calls = (page.post("/dead-letters/replay", WISH) for _ in range(2))
    assert sorted(one["replayed"] for one in await asyncio.gather(*calls)) == [0, 1]
