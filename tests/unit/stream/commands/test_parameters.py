"""What a value given on the command line may not be."""

from __future__ import annotations

from datetime import timedelta

import pytest
from click.testing import CliRunner

from stream.cli import main
from stream.commands.parameters import Start
from stream.records import utc_now

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


@pytest.mark.parametrize(
    ("value", "said"), [("2001-02-03", "is over"), ("soon", "neither an ISO 8601 time nor a span")]
)
def test_a_silence_starts_at_a_time_to_come(value: str, said: str) -> None:
    silence = ["alerts", "silence", "--matcher", "rule=x", "--for", "2h", "--from", value]
    ran = CliRunner().invoke(main, silence)
    assert ran.exit_code == 2, ran.output
    assert said in ran.output


def test_a_span_to_a_start_leads_to_the_future() -> None:
    assert timedelta(0) < Start().convert("2h", None, None) - utc_now() <= timedelta(hours=2)
