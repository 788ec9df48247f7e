from __future__ import annotations

from pathlib import Path

import pytest

from models.checkpoint import read_checkpoint, write_checkpoint
from models.registry import CHAMPION, Alias, AliasMovedError, Registry
from stream.serving.champions import predecessor, promote, roll_back
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


def test_a_champion_made_meanwhile_is_not_rolled_back(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(str(tmp_path / "registry"))
    checkpoint, weights = read_checkpoint(tiny_checkpoint)
    versions = []
    for number in range(3):
        weights["heads.bias"] = weights["heads.bias"] + 1
        folder = tmp_path / str(number)
        versions.append(write_checkpoint(folder, checkpoint, weights).version)
        registry.add(folder)
    first, second, third = versions
    for version in (first, second):
        promote(registry, version, by="ann", why="", now=NOON)
    seen = registry.history(CHAMPION)
    promote(registry, third, by="bob", why="", now=NOON)
    with monkeypatch.context() as patch:
        patch.setattr(registry, "history", lambda _: seen)
        with pytest.raises(AliasMovedError, match="bob moved it"):
            roll_back(registry, by="eve", why="", now=NOON)
    assert roll_back(registry, by="eve", why="", now=NOON).version == second
