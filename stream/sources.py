"""From a raw Kafka record to an Event, or to a DeadLetter that says why not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NoReturn, Protocol

import orjson

from stream.attributes import bound_attributes
from stream.dead_letter import DeadLetter
from stream.event_time import EPOCH, parse_time
from stream.language import detect_language
from stream.mapping import FieldError, FieldMapping
from stream.records import Event, Origin
from stream.settings import Limits, SettingsError, Source
from stream.text import clean_text

# Reasons of a dead letter.
TOMBSTONE = "tombstone"
OVERSIZE = "oversize"
NOT_UTF8 = "not_utf8"
NOT_JSON = "not_json"
NOT_AN_OBJECT = "not_an_object"
NO_TEXT = "no_text"
WRONG_TYPE = "wrong_type"
BAD_VALUE = "bad_value"
BAD_TIME = "bad_time"
ABSURD_TIME = "absurd_time"

MAX_ID_CHARS = 512
MAX_NAME_CHARS = 512
MAX_LANG_CHARS = 35
MAX_TICKERS = 50
MAX_TICKER_CHARS = 32
MAX_DETAIL_CHARS = 300

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LANGUAGE_TAG = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]{1,8})*")
_TICKER_SEPARATORS = re.compile(r"[\s,;]+")
# No datetime lies farther ahead, and timedelta takes no infinity.
_FOREVER_S = 1e12
_JSON_TYPES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number with a fraction or beyond 64 bits",
}


class RawRecord(Protocol):
    """What we need of aiokafka's ConsumerRecord; timestamp in ms since the epoch, -1 for none."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Decoder:
    """Reads the records of one source.

    A string field that is missing, null or blank counts as absent. What the mapping does not take
    stays in attributes as it came.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        """Raises SettingsError when a field's expression or limits.oldest_time can't be read."""
        self._kind = source.kind
        self._mapping = FieldMapping(source.topic, source.fields)
        self._max_bytes = limits.max_record_bytes
        self._max_chars = limits.max_text_chars
        self._max_ahead = timedelta(seconds=min(limits.max_future_s, _FOREVER_S))
        try:
            self._oldest = parse_time(limits.oldest_time)
        except ValueError as error:
            raise SettingsError(
                f"setting limits.oldest_time: {limits.oldest_time!r} is no time ({error}); "
                "write it as 1990-01-01T00:00:00Z"
            ) from None

    def decode(self, record: RawRecord, now: datetime) -> Event | DeadLetter:
        """Never raises, whatever the bytes. now is an aware time: when the record was received."""
        origin = Origin(record.topic, record.partition, record.offset)
        try:
            return self._event(record, origin, now)
        except _RefusalError as refusal:
            return self._dead_letter(record, origin, now, refusal)

    def _event(self, record: RawRecord, origin: Origin, now: datetime) -> Event:
        fields = _load(record.value, self._max_bytes)
        try:
            identity, text, title, time, author, tickers, customer, lang = self._mapping.take(
                fields
            )
        except FieldError as error:
            raise _RefusalError(WRONG_TYPE, error.field, error.problem) from None
        clean_title = _text("title", title, self._max_chars)
        body = _text("text", text, self._max_chars) or clean_title
        if not body:
            raise _RefusalError(NO_TEXT, "text", "is missing or blank, and there is no title")
        return Event(
            id=_identity(identity, origin),
            source=self._kind,
            origin=origin,
            key=record.key,
            text=body,
            time=self._time(time, record.timestamp, now),
            received_at=now,
            title=clean_title,
            author=_name("author", author),
            lang=_language(lang, body),
            customer=_name("customer", customer),
            tickers=() if tickers is None else _tickers(tickers),
            attributes=bound_attributes(fields) if fields else fields,
        )

    def _time(self, value: Any, timestamp_ms: int, now: datetime) -> datetime:
        if value is None or (type(value) is str and not value.strip()):
            if timestamp_ms < 0:
                return now
            return self._plausible(_broker_time(timestamp_ms), now)
        if type(value) not in (str, int, float):
            _refuse_type("time", value, "a string or a number")
        try:
            time = parse_time(value)
        except ValueError as error:
            raise _RefusalError(BAD_TIME, "time", f"is {_quote(value)}, {error}") from None
        return self._plausible(time, now)

    def _plausible(self, time: datetime, now: datetime) -> datetime:
        if time < self._oldest:
            raise _RefusalError(
                ABSURD_TIME, "time", f"is {time.isoformat()}, before limits.oldest_time"
            )
        if time - now > self._max_ahead:
            raise _RefusalError(
                ABSURD_TIME,
                "time",
                f"is {time.isoformat()}, more than limits.max_future_s ahead of {now.isoformat()}",
            )
        return time

    def _dead_letter(
        self, record: RawRecord, origin: Origin, now: datetime, refusal: _RefusalError
    ) -> DeadLetter:
        detail = refusal.problem
        if refusal.field:
            detail = f"{self._mapping.expressions[refusal.field]} {detail}"
        return DeadLetter(
            origin=origin,
            reason=refusal.reason,
            field=refusal.field,
            detail=clean_text(detail, MAX_DETAIL_CHARS),
            key=record.key,
            value=record.value,
            # Kafka lets a header have no value, which the record's type does not know.
            headers=tuple((name, content or b"") for name, content in record.headers),
            timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
            time=now,
        )


class _RefusalError(Exception):
    """field is of Event, or empty for the whole record; problem follows the field's name."""

    def __init__(self, reason: str, field: str, problem: str) -> None:
        super().__init__(reason, field, problem)
        self.reason = reason
        self.field = field
        self.problem = problem


def _load(value: bytes | None, max_bytes: int) -> dict[str, Any]:
    """The record's object; the last of duplicate names counts, as in most JSON readers."""
    if value is None:
        raise _RefusalError(TOMBSTONE, "", "the record has no value")
    if len(value) > max_bytes:
        raise _RefusalError(
            OVERSIZE, "", f"{len(value)} bytes are more than limits.max_record_bytes {max_bytes}"
        )
    try:
        fields = orjson.loads(value.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        try:
            value.decode()
        except UnicodeDecodeError as fault:
            raise _RefusalError(
                NOT_UTF8, "", f"byte {fault.start} is not UTF-8; send JSON in UTF-8"
            ) from None
        raise _RefusalError(NOT_JSON, "", f"the record is not JSON: {error}") from None
    if type(fields) is not dict:
        raise _RefusalError(
            NOT_AN_OBJECT, "", f"the record is {_json_type(fields)}; an object is needed"
        )
    return fields


def _identity(value: Any, origin: Origin) -> str:
    """The user's id, untouched, else the place it was read at, so that a replay finds it again.

    Ids go into Redis keys, logs and terminals as they are; mending one could make two of them
    equal, so one with unprintable characters is refused.
    """
    if value is None:
        return origin.record_id
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        _refuse_type("id", value, "a string or an integer")
    if not value.strip():
        return origin.record_id
    if len(value) > MAX_ID_CHARS:
        raise _RefusalError(
            BAD_VALUE, "id", f"has {len(value)} characters; {MAX_ID_CHARS} at most are allowed"
        )
    if not value.isprintable():
        raise _RefusalError(BAD_VALUE, "id", f"is {_quote(value)}, with unprintable characters")
    return value


def _text(field: str, value: Any, max_chars: int) -> str:
    if value is None:
        return ""
    if type(value) is not str:
        _refuse_type(field, value, "a string")
    return clean_text(value, max_chars)


def _name(field: str, value: Any) -> str:
    if value is None:
        return ""
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        _refuse_type(field, value, "a string or an integer")
    return clean_text(value, MAX_NAME_CHARS)


def _language(value: Any, text: str) -> str:
    """The user's language tag in lower case; without a well-formed one, the detected one."""
    if value is not None:
        if type(value) is not str:
            _refuse_type("lang", value, "a string")
        tag = value.strip().lower().replace("_", "-")
        if len(tag) <= MAX_LANG_CHARS and _LANGUAGE_TAG.fullmatch(tag):
            return tag
    return detect_language(text)


def _tickers(value: Any) -> tuple[str, ...]:
    """The first MAX_TICKERS listed, in upper case, without "$", each once."""
    if type(value) is str:
        listed = _TICKER_SEPARATORS.split(value)
    elif type(value) is list:
        listed = value
    else:
        _refuse_type("tickers", value, "a list of strings or one string")
    tickers: dict[str, None] = {}
    for item in listed[:MAX_TICKERS]:
        if type(item) is not str:
            _refuse_type("tickers", item, "a list of strings", prefix="holds")
        ticker = clean_text(item, MAX_TICKER_CHARS + 1).lstrip("$").strip().upper()
        if len(ticker) > MAX_TICKER_CHARS:
            raise _RefusalError(
                BAD_VALUE,
                "tickers",
                f"holds {_quote(ticker)}, longer than {MAX_TICKER_CHARS} characters",
            )
        if ticker:
            tickers[ticker] = None
    return tuple(tickers)


def _broker_time(timestamp_ms: int) -> datetime:
    try:
        return EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        raise _RefusalError(
            ABSURD_TIME, "time", f"is missing, and the Kafka timestamp is {timestamp_ms} ms"
        ) from None


def _refuse_type(field: str, value: Any, wanted: str, *, prefix: str = "is") -> NoReturn:
    raise _RefusalError(WRONG_TYPE, field, f"{prefix} {_json_type(value)}; {wanted} is needed")


def _json_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "null")


def _quote(value: Any) -> str:
    """The value for a message: short, and with control characters escaped."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."  # noqa: PLR2004 - a line's worth
