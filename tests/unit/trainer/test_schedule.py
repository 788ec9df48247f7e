from __future__ import annotations

from datetime import timedelta

import pytest

from tests.fakes import NOON
from trainer.schedule import Progress, Schedule, due, next_deep, waits_for

SCHEDULE = Schedule(refit_after_labels=20, refit_after_s=15.0, deep_after_labels=100)


@pytest.mark.parametrize(
    ("progress", "speed"),
    [
        (Progress(new=0, quiet_s=900.0, since_deep=500), None),
        (Progress(new=3, quiet_s=2.0, since_deep=3), None),
        (Progress(new=20, quiet_s=0.0, since_deep=20), "fast"),
        (Progress(new=1, quiet_s=15.0, since_deep=1), "fast"),
        (Progress(new=1, quiet_s=0.0, since_deep=100), "deep"),
        (Progress(new=0, quiet_s=0.0, since_deep=50, drift="labels of topic"), "deep"),
        (Progress(new=0, quiet_s=0.0, since_deep=49, drift="labels of topic"), None),
        (Progress(new=1, quiet_s=15.0, since_deep=50, drift="labels of topic"), "fast"),
        (Progress(new=0, quiet_s=0.0, since_deep=50, overdue=True), "deep"),
        (Progress(new=0, quiet_s=0.0, since_deep=49, overdue=True), None),
        (Progress(new=1, quiet_s=15.0, since_deep=50, overdue=True), "fast"),
    ],
)
def test_a_fit_is_due_after_enough_labels_or_enough_quiet(
    progress: Progress, speed: str | None
) -> None:
    assert due(SCHEDULE, progress) == speed


def test_without_deep_fits_only_the_heads_are_taught() -> None:
    never = SCHEDULE._replace(deep_after_labels=0)
    assert due(never, Progress(new=1, quiet_s=99.0, since_deep=9_999)) == "fast"


def test_what_it_waits_for_is_said_in_words() -> None:
    assert "17 more or 13 s" in waits_for(SCHEDULE, Progress(new=3, quiet_s=2.0, since_deep=3))
    drifted = Progress(0, 0.0, 3, "labels of topic on news (0.40)")
    assert "on news (0.40), a deep fit needs 47 more labels" in waits_for(SCHEDULE, drifted)
    assert "97 more for a deep fit" in waits_for(SCHEDULE, Progress(0, 0.0, 3))
    by_clock = Progress(0, 0.0, 3, deep_at="2026-03-12 12:00 UTC")
    assert "due at 2026-03-12 12:00 UTC, given 47 more labels" in waits_for(SCHEDULE, by_clock)


def test_the_clock_brings_a_deep_fit_so_long_after_the_last_one() -> None:
    daily = SCHEDULE._replace(deep_after_s=86_400.0)
    assert next_deep(daily, NOON, NOON) == NOON + timedelta(days=1)
    assert next_deep(daily, None, NOON) is None
    assert next_deep(SCHEDULE, NOON, NOON) is None


def test_a_deep_fit_that_a_wrong_clock_noted_in_years_to_come_puts_off_none() -> None:
    daily = SCHEDULE._replace(deep_after_s=86_400.0)
    assert next_deep(daily, NOON + timedelta(days=3_650), NOON) == NOON
