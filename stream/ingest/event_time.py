"""Reads the time of an event in the notations that feeds use."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The unit of a number follows from its size: below 1e11 it counts seconds (until the year 5138),
# below 1e14 milliseconds, below 1e17 microseconds. Each range begins in 1973 and so misses no
# time that limits.oldest_time lets through.
_SECONDS_BELOW = 10**11
_MILLISECONDS_BELOW = 10**14
_MICROSECONDS_BELOW = 10**17
# Nanoseconds until the year 2262, where 64 bits end; what is larger is no time.
_NANOSECONDS_BELOW = 2**63

# Shorter digits are a year or a date: 20260131 is no epoch time after 1990.
_NUMBER = re.compile(r"-?[0-9]{9,19}(?:\.[0-9]{1,9})?", re.ASCII)
_UTC_NAME = re.compile(r"\s*(?:z|utc|gmt)\Z", re.IGNORECASE)
_LAST_WORD = re.compile(r"\S*[^\W\d]\S*\Z")
# RFC 2822: the offset of an unknown place in UTC, perhaps with a comment.
_MINUS_ZERO = re.compile(r"-0000(?:\s*\([^()]*\))?\Z")
MAX_TIME_CHARS = 64


def parse_time(value: str | float) -> datetime:
    """UTC time of ISO 8601, RFC 2822 or epoch seconds, milliseconds, microseconds, nanoseconds.

    Without an offset it is UTC. Raises ValueError when it can't be read, names a zone that is
    neither UTC nor one of RFC 2822, or has no place in the years 1 to 9999.
    """
    try:
        if isinstance(value, str):
            return _parse_text(value)
        return EPOCH + timedelta(microseconds=_microseconds(value))
    except OverflowError:
        raise ValueError("outside the years 1 to 9999") from None


def _parse_text(text: str) -> datetime:
    text = text.strip()
    # Numbers come first: fromisoformat reads "1612010112345" as a night in 1612.
    if text[4:5] != "-" and _NUMBER.fullmatch(text):
        return parse_time(float(text) if "." in text else int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = _parse_other(text)
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    return time.astimezone(UTC)


def _parse_other(text: str) -> datetime:
    if len(text) > MAX_TIME_CHARS:
        raise ValueError("too long for a time")
    try:
        return datetime.fromisoformat(_UTC_NAME.sub("+00:00", text))
    except ValueError:
        pass
    try:
        time = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        raise ValueError("neither ISO 8601 nor RFC 2822 nor an epoch time") from None
    # Such a name is dropped without a word, and is an hour in Paris and nine in Tokyo.
    if time.tzinfo is None and not _MINUS_ZERO.search(text) and (name := _LAST_WORD.search(text)):
        raise ValueError(
            f"ends in {name[0]!r}, which is no offset or known time zone; write one such as +0100"
        )
    return time


def _microseconds(number: float) -> int:
    size = abs(number)
    if size < _SECONDS_BELOW:
        return round(number * 1_000_000)
    if size < _MILLISECONDS_BELOW:
        return round(number * 1_000)
    if size < _MICROSECONDS_BELOW:
        return round(number)
    if size < _NANOSECONDS_BELOW:
        return round(number / 1_000) if isinstance(number, float) else number // 1_000
    raise ValueError("too large for an epoch time")
