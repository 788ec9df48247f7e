"""From a raw Kafka record to an Event, or to a DeadLetter that says why not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson

from stream.config.settings import Limits, SettingsError, Source
from stream.ingest.attributes import bound_attributes
from stream.ingest.dead_letter import UNPACKS_TO_TOO_MUCH, DeadLetter
from stream.ingest.event_time import EPOCH, parse_time
from stream.ingest.fields import (
    RefusalError,
    identity_of,
    json_type,
    language_of,
    name_of,
    quote,
    refuse_type,
    text_of,
    tickers_of,
)
from stream.ingest.mapping import FieldError, FieldMapping
from stream.ingest.text import clean_text, printable
from stream.records import Event, Origin, RawRecord

# No datetime lies farther ahead, and timedelta takes not much more.
_FOREVER_S = 1e12

MAX_DETAIL_CHARS = 300
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What Confluent's serialisers write before a record: this and the number of its schema.
_FRAMED = b"\x00"
_FRAME_BYTES = 5


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
        except RefusalError as refusal:
            return self._dead_letter(record, now, refusal)

    def _event(self, record: RawRecord, origin: Origin, now: datetime) -> Event:
        self._bound(record)
        fields = _load(record.value)
        try:
            identity, text, title, time, author, tickers, customer, lang = self._mapping.take(
                fields
            )
        except FieldError as error:
            raise RefusalError("wrong_type", error.field, error.problem) from None
        clean_title = text_of("title", title, self._max_chars)
        body = text_of("text", text, self._max_chars) or clean_title
        if not body:
            raise RefusalError("no_text", "text", "is missing or blank, and there is no title")
        return Event(
            id=identity_of(identity, origin),
            source=self._kind,
            origin=origin,
            key=record.key,
            text=body,
            time=self._time(time, record.timestamp, now),
            received_at=now,
            title=clean_title,
            author=name_of("author", author),
            lang=language_of(lang, body),
            customer=name_of("customer", customer),
            tickers=() if tickers is None else tickers_of(tickers),
            attributes=bound_attributes(fields) if fields else fields,
        )

    def _time(self, value: Any, timestamp_ms: int, now: datetime) -> datetime:
        if value is None or (type(value) is str and not value.strip()):
            if timestamp_ms < 0:
                return now
            return self._plausible(_broker_time(timestamp_ms), now)
        if type(value) not in (str, int, float):
            refuse_type("time", value, "a string or a number")
        try:
            time = parse_time(value)
        except ValueError as error:
            raise RefusalError("bad_time", "time", f"is {quote(value)}, {error}") from None
        return self._plausible(time, now)

    def _plausible(self, time: datetime, now: datetime) -> datetime:
        if time < self._oldest:
            raise RefusalError(
                "absurd_time", "time", f"is {time.isoformat()}, before limits.oldest_time"
            )
        if time - now > self._max_ahead:
            raise RefusalError(
                "absurd_time",
                "time",
                f"is {time.isoformat()}, more than limits.max_future_s ahead of {now.isoformat()}",
            )
        return time

    def _bound(self, record: RawRecord) -> None:
        """Key and headers count too: what they hold goes onto our topics as well."""
        size = len(record.value or b"") + len(record.key or b"")
        for name, content in record.headers:
            size += len(name) + len(content or b"")
            if name == UNPACKS_TO_TOO_MUCH:
                unpacked = (content or b"").decode(errors="replace")
                raise RefusalError(
                    "oversize", "", f"a batch that unpacks to {unpacked}; send smaller ones"
                )
        if size > self._max_bytes:
            raise RefusalError(
                "oversize",
                "",
                f"{size} bytes, key and headers included, are more than limits.max_record_bytes "
                f"{self._max_bytes}",
            )

    def _dead_letter(self, record: RawRecord, now: datetime, refusal: RefusalError) -> DeadLetter:
        detail = refusal.problem
        if refusal.field:
            detail = f"{self._mapping.expressions[refusal.field]} {detail}"
        return DeadLetter.of(
            record,
            now,
            reason=refusal.reason,
            field=refusal.field,
            detail=printable(clean_text(detail, MAX_DETAIL_CHARS))[:MAX_DETAIL_CHARS],
        )


def _load(value: bytes | None) -> dict[str, Any]:
    """The record's object; the last of duplicate names counts, as in most JSON readers."""
    if value is None:
        raise RefusalError("tombstone", "", "the record has no value")
    try:
        fields = orjson.loads(value.removeprefix(_BYTE_ORDER_MARK))
    except orjson.JSONDecodeError as error:
        if value.startswith(_FRAMED):
            fields = _unframed(value)
        else:
            try:
                value.decode()
            except UnicodeDecodeError as fault:
                raise RefusalError(
                    "not_utf8", "", f"byte {fault.start} is not UTF-8; send JSON in UTF-8"
                ) from None
            raise RefusalError("not_json", "", f"the record is not JSON: {error}") from None
    if type(fields) is not dict:
        raise RefusalError(
            "not_an_object", "", f"the record is {json_type(fields)}; an object is needed"
        )
    return fields


def _unframed(value: bytes) -> Any:
    try:
        return orjson.loads(value[_FRAME_BYTES:])
    except orjson.JSONDecodeError:
        raise RefusalError(
            "not_json",
            "",
            "no JSON follows the number of a schema that the record begins with, as in Avro and "
            "Protobuf; convert it to JSON first",
        ) from None


def _broker_time(timestamp_ms: int) -> datetime:
    try:
        return EPOCH + timedelta(milliseconds=timestamp_ms)
    except OverflowError:
        raise RefusalError(
            "absurd_time", "time", f"is missing, and the Kafka timestamp is {timestamp_ms} ms"
        ) from None
