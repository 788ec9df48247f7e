"""Times of the week at which a route speaks or is mute. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIMES = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DAY_MINUTES = 24 * 60


class TimeInterval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As in the file: weekdays "monday" or "monday:friday", times "09:00-17:30", a zone's name.

    An empty list holds always. An interval over midnight is written as two.
    """

    name: str
    weekdays: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
    zone: str = "UTC"


class Calendar:
    """A TimeInterval, read. Raises ValueError saying what is wrong with it."""

    def __init__(self, interval: TimeInterval) -> None:
        try:
            self._zone = ZoneInfo(interval.zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"zone {interval.zone!r} is not known; write a name such as Europe/Berlin"
            ) from None
        self._days = frozenset(day for span in interval.weekdays for day in _days(span))
        self._times = [_minutes(span) for span in interval.times]

    def holds(self, now: datetime) -> bool:
        """Takes a time with a zone; the end of a span is not in it."""
        local = now.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        return (not self._days or local.weekday() in self._days) and (
            not self._times or any(begin <= minute < end for begin, end in self._times)
        )


def _days(span: str) -> range:
    first, _, last = span.partition(":")
    try:
        begin, end = DAYS.index(first), DAYS.index(last or first)
    except ValueError:
        raise ValueError(
            f'weekdays {span!r} is not known; write "monday" or "monday:friday"'
        ) from None
    if end < begin:
        raise ValueError(f"weekdays {span!r} runs backwards; the week begins on monday")
    return range(begin, end + 1)


def _minutes(span: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(span)
    if found is None:
        raise ValueError(f'times {span!r} can\'t be read; write "09:00-17:30", up to "24:00"')
    begin, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if not begin < end <= _DAY_MINUTES:
        raise ValueError(
            f'times {span!r} must end after it begins and by "24:00"; write two spans over midnight'
        )
    return begin, end
