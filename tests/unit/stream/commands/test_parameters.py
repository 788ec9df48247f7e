"""What a value given on the command line may not be."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from stream.cli import main

FIT = ["fit", "--data", "t.csv", "--head", "mood", "--output", "out"]
PRUNE = ["prune", "--data", "t.csv", "--head", "mood", "--output", "out"]


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["publish", "feed.jsonl", "--rate"],
        ["demo", "--rate"],
        ["demo", "--seconds"],
        [*FIT, "--weight-decay"],
        [*FIT, "--dropout"],
        [*FIT, "--hide-words"],
        [*FIT, "--balance"],
        [*FIT, "--validation-share"],
        [*PRUNE, "--share"],
        [*PRUNE, "--max-loss"],
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[-1]}",
)
def test_infinity_and_nan_are_no_numbers(arguments: list[str], value: str) -> None:
    ran = CliRunner().invoke(main, [*arguments, value])
    assert ran.exit_code == 2, ran.output
    assert f"Invalid value for '{arguments[-1]}'" in ran.output


def test_an_age_of_more_than_a_year_is_told_how_long_one_may_be() -> None:
    ran = CliRunner().invoke(main, ["ledger", "--since", "400d"])
    assert ran.exit_code == 2, ran.output
    assert "up to 366d" in ran.output
