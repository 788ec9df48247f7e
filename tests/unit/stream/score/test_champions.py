from __future__ import annotations

import pytest

from models.registry import Alias
from stream.score.champions import predecessor
from tests.fakes import NOON


@pytest.mark.parametrize(
    ("reign", "before"),
    [
        ("", ""),
        ("A", ""),
        ("AB", "A"),
        ("ABC", "B"),
        # Taken back once, and once more: never to the one that was just left.
        ("ABCB", "A"),
        ("ABCBA", ""),
        # Somebody insists on the one that was taken back.
        ("ABAB", "A"),
        # An older one made champion by hand is a new beginning, which can be taken back.
        ("ABCA", "C"),
        ("ABB", "A"),
    ],
)
def test_the_predecessor_is_whom_the_champion_came_after(reign: str, before: str) -> None:
    history = [
        Alias(alias="champion", version=version, number=number, since=NOON, by="ann", why="")
        for number, version in enumerate(reign, 1)
    ]
    assert predecessor(history) == before
