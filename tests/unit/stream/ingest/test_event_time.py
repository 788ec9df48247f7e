"""Every notation of one moment is read as that moment in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ingest.event_time import parse_time

MOMENT = datetime(2026, 3, 12, 7, 0, 20, tzinfo=UTC)
SECONDS = 1_773_298_820


@pytest.mark.parametrize(
    "notation",
    [
        "2026-03-12T07:00:20Z",
        "2026-03-12T07:00:20",
        "2026-03-12 07:00:20",
        " 2026-03-12T07:00:20+00:00 ",
        "2026-03-12T12:30:20+05:30",
        "2026-03-11T23:00:20.000-08:00",
        "20260312T070020Z",
        "2026-03-12T07:00:20z",
        "2026-03-12 07:00:20 UTC",
        "Thu, 12 Mar 2026 07:00:20 GMT",
        "Thu, 12 Mar 2026 08:00:20 +0100",
        "Thu, 12 Mar 2026 08:00:20 +0100 (CET)",
        "Thu, 12 Mar 2026 02:00:20 EST",
        "12 Mar 2026 07:00:20 -0000",
        "12 Mar 2026 07:00:20 -0000 (UTC)",
        "12 Mar 2026 07:00:20",
        "Thu Mar 12 07:00:20 +0000 2026",
        SECONDS,
        float(SECONDS),
        str(SECONDS),
        f"{SECONDS}.0",
        SECONDS * 10**3,
        str(SECONDS * 10**3),
        SECONDS * 10**6,
        SECONDS * 10**9,
        float(SECONDS * 10**9),
        str(SECONDS * 10**9),
    ],
)
def test_notations(notation: str | float) -> None:
    time = parse_time(notation)
    assert time == MOMENT
    assert time.utcoffset() == timedelta(0)


def test_fractions_of_a_second_survive() -> None:
    fraction = MOMENT + timedelta(milliseconds=125)
    assert parse_time("2026-03-12T07:00:20.125Z") == fraction
    assert parse_time("2026-03-12T07:00:20.125000999Z") == fraction
    assert parse_time(SECONDS + 0.125) == fraction
    assert parse_time(SECONDS * 1000 + 125) == fraction


def test_digits_that_look_like_a_date_are_one_only_when_they_are_eight() -> None:
    assert parse_time("20260312") == datetime(2026, 3, 12, tzinfo=UTC)
    assert parse_time("1612010112345") == datetime(2021, 1, 30, 12, 35, 12, 345_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "notation",
    [
        "yesterday-ish",
        "Thu, 12 Mar 2026 16:00:20 JST",
        "12 Mar 2026 08:00 (CET)",
        "12 Mar 2026 07:00:20 nonsense",
        "12 Mar 2026 07:00:20 PM",
        "",
        "noon",
        "2026-13-01",
        "12:30",
        "١٧٧٣٢٩٨٨٢٠",
        "9" * 5_000,
        "0001-01-01T00:00:00+14:00",
        1e300,
        -1e300,
        2**63,
        "9999999999999999999",
        -62_135_596_800_000_001,
    ],
)
def test_what_is_no_time_is_refused(notation: str | float) -> None:
    with pytest.raises(ValueError, match=r"^\D"):
        parse_time(notation)


@given(st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_anything_is_a_time_in_utc_or_a_value_error(notation: str | float) -> None:
    try:
        time = parse_time(notation)
    except ValueError:
        return
    assert time.utcoffset() == timedelta(0)


@given(st.datetimes(timezones=st.timezones()))
def test_an_iso_time_with_an_offset_keeps_its_moment(time: datetime) -> None:
    try:
        expected = time.astimezone(UTC)
    except OverflowError:
        return
    assert parse_time(time.isoformat()) == expected
