"""Days and times of day at which a route speaks or is mute. Pure."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import MAXYEAR, MINYEAR, datetime
from zoneinfo import ZoneInfo

import msgspec

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_LONGEST_MONTH = 31
_TIMES = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DAY_MINUTES = 24 * 60


class TimeInterval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As in the file; each list holds single values "monday" or spans "monday:friday".

    days_of_month are 1 to 31, or -31 to -1 from the month's end; months are names or 1 to 12; times
    are "09:00-17:30", of zone. An empty list holds always, and all lists must hold at once. What
    goes over midnight or the turn of the year is written as two spans.
    """

    name: str
    weekdays: tuple[str, ...] = ()
    days_of_month: tuple[str, ...] = ()
    months: tuple[str, ...] = ()
    years: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    zone: str = "UTC"


Span = tuple[int, int]
"""First and last, both in it."""


class Calendar:
    """A TimeInterval, read. Raises ValueError saying what is wrong with it."""

    def __init__(self, interval: TimeInterval) -> None:
        try:
            self._zone = ZoneInfo(interval.zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"zone {interval.zone!r} is not known; write a name such as Europe/Berlin"
            ) from None
        self._weekdays = _spans("weekdays", interval.weekdays, _weekday, "monday:friday")
        self._days = _spans("days_of_month", interval.days_of_month, _day, "24:26")
        self._months = _spans("months", interval.months, _month, "june:august")
        self._years = _spans("years", interval.years, _year, "2026:2027")
        self._times = [_minutes(span) for span in interval.times]

    def holds(self, now: datetime) -> bool:
        """Takes a time with a zone; the end of a span of times is not in it."""
        local = now.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        last = monthrange(local.year, local.month)[1]
        days = [tuple(day if day > 0 else last + 1 + day for day in span) for span in self._days]
        return (
            _within(self._weekdays, local.weekday())
            and _within(days, local.day)
            and _within(self._months, local.month)
            and _within(self._years, local.year)
            and (not self._times or any(begin <= minute < end for begin, end in self._times))
        )


def _within(spans: Sequence[tuple[int, ...]], value: int) -> bool:
    return not spans or any(first <= value <= last for first, last in spans)


def _spans(
    field: str, texts: Sequence[str], read: Callable[[str], int], example: str
) -> list[Span]:
    spans = []
    for text in texts:
        first, to, last = text.strip().lower().partition(":")
        try:
            span = read(first), read(last if to else first)
        except ValueError:
            raise ValueError(
                f'{field} {text!r} is not known; write "{example.partition(":")[0]}" or "{example}"'
            ) from None
        # Counted from opposite ends, whether days run backwards depends on the month.
        if span[1] < span[0] and (span[0] < 0) == (span[1] < 0):
            raise ValueError(f"{field} {text!r} runs backwards; write it as two spans")
        spans.append(span)
    return spans


def _weekday(name: str) -> int:
    return DAYS.index(name)


def _day(number: str) -> int:
    return _bounded(abs(int(number)), 1, _LONGEST_MONTH) * (-1 if int(number) < 0 else 1)


def _month(text: str) -> int:
    return MONTHS.index(text) + 1 if text in MONTHS else _bounded(int(text), 1, len(MONTHS))


def _year(number: str) -> int:
    return _bounded(int(number), MINYEAR, MAXYEAR)


def _bounded(number: int, least: int, most: int) -> int:
    if not least <= number <= most:
        raise ValueError
    return number


def _minutes(span: str) -> Span:
    found = _TIMES.fullmatch(span)
    if found is None:
        raise ValueError(f'times {span!r} can\'t be read; write "09:00-17:30", up to "24:00"')
    begin, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if not begin < end <= _DAY_MINUTES:
        raise ValueError(
            f'times {span!r} must end after it begins and by "24:00"; write two spans over midnight'
        )
    return begin, end
