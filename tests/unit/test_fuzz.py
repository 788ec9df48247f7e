"""A short, seeded part of `make fuzz`: every parser takes what is almost right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import targets

INPUTS = 1_500
SLOW = {"rules": 100, "settings": 150, "checkpoint descriptions": 200}
NAMES = sorted(targets(Path()))


@pytest.mark.parametrize("name", NAMES)
def test_a_parser_takes_what_is_almost_right(name: str, tmp_path: Path) -> None:
    target = targets(tmp_path)[name]
    for seed in target.seeds:
        target.check(seed)
    mutator = Mutator(target.seeds, 2026)
    for _ in range(SLOW.get(name, INPUTS)):
        payload = mutator.draw()
        try:
            target.check(payload)
        except Exception as error:
            raise AssertionError(f"{name} fails on {payload!r}") from error


def test_the_same_number_draws_the_same_inputs() -> None:
    first, second = Mutator([b"abc", b"{}"], 7), Mutator([b"abc", b"{}"], 7)
    drawn = [first.draw() for _ in range(200)]
    assert drawn == [second.draw() for _ in range(200)]
    assert len(set(drawn)) > 100
