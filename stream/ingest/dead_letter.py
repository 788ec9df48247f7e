"""A dead letter: one record that could not be processed, whole, and its bytes on the wire."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Annotated, Literal, Self

import msgspec
import orjson

from stream.records import Int64, Origin, RawRecord

LONGEST_AS_TEXT = 4 / 3
# Together they fit what we send at most (outbox.MAX_REQUEST_BYTES), however JSON has to write them.
MAX_WRAPPED_BYTES = 4_000_000
MAX_KEY_BYTES = 256 * 1024
MAX_HEADER_BYTES = 256 * 1024
# Headers of a replayed record: the id of its first dead letter, and which attempt this is.
REPLAY_OF = "bellwether-replay-of"
REPLAY_ATTEMPT = "bellwether-replay-attempt"
# Header of what stands for a whole batch (unpack.py); its value says what it would unpack to.
UNPACKS_TO_TOO_MUCH = "bellwether-unpacks-to-too-much"

RecordReason = Literal[
    "tombstone",
    "oversize",
    "not_utf8",
    "not_json",
    "not_an_object",
    "no_text",
    "wrong_type",
    "bad_value",
    "bad_time",
    "absurd_time",
    "model_error",
]
"""Of a record of a source."""
Reason = Literal[
    RecordReason,
    # Of a line of a file.
    "unknown_source",
    # Of feedback, which shares some of the above.
    "empty",
    "too_large",
    "unknown_version",
    "empty_field",
    "too_long",
    "future_time",
    "unknown_head",
    "unknown_label",
]

_Encoding = Literal["utf-8", "base64", "none"]


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A record that can't be processed, whole, with the reason and the field at fault.

    timestamp_ms is the record's Kafka time, None if unknown. value_bytes is how long the value was
    where the letter holds less of it, else -1. left_out names what was too large to be held at all.
    reason is a Reason, unless another version of this program wrote the letter.
    """

    origin: Origin
    reason: str
    field: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int | None = None
    time: datetime
    value_bytes: int = -1
    left_out: tuple[Literal["key", "headers"], ...] = ()

    @classmethod
    def of(
        cls, record: RawRecord, now: datetime, *, reason: Reason, field: str, detail: str
    ) -> Self:
        """Of a record as it came, without a key or headers of more than MAX_..._BYTES."""
        left_out: list[Literal["key", "headers"]] = []
        key = record.key
        if key is not None and len(key) > MAX_KEY_BYTES:
            key = None
            left_out.append("key")
        # Kafka lets a header have no value.
        headers = tuple((name, content or b"") for name, content in record.headers)
        if sum(len(name.encode()) + len(content) for name, content in headers) > MAX_HEADER_BYTES:
            headers = ()
            left_out.append("headers")
        return cls(
            origin=Origin(record.topic, record.partition, record.offset),
            reason=reason,
            field=field,
            detail=detail,
            key=key,
            value=record.value,
            headers=headers,
            timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
            time=now,
            left_out=tuple(left_out),
        )

    @property
    def id(self) -> str:
        return self.origin.record_id

    @property
    def first(self) -> str:
        """The id of the record's first failure: the same after each replay that fails again."""
        return self._header(REPLAY_OF) or self.id

    @property
    def attempt(self) -> int:
        """How often the record has been tried: 1, and 1 more with each replay."""
        attempt = self._header(REPLAY_ATTEMPT)
        # Anyone may write headers; what is no count of ours says nothing.
        return int(attempt) if re.fullmatch("[1-9][0-9]{0,3}", attempt) else 1

    @property
    def missing(self) -> str:
        """What the letter holds less of than the record had, in words; empty if it is whole."""
        parts = [f"its {one}" for one in self.left_out]
        held = len(self.value or b"")
        if self.value_bytes > held:
            parts.insert(0, f"all but {held} of its {self.value_bytes} bytes")
        return " and ".join(parts)

    def _header(self, name: str) -> str:
        return dict(self.headers).get(name, b"").decode(errors="replace")

    def encode(self) -> bytes:
        """JSON; bytes that are not plain UTF-8 travel as base64 with encoding "base64".

        A value above MAX_WRAPPED_BYTES is cut, and value_bytes says how long it was: a dead letter
        that no broker takes would hold up its whole partition.
        """
        kept = None if self.value is None else self.value[:MAX_WRAPPED_BYTES]
        value, encoding = _bytes_to_text(kept)
        key, key_encoding = _bytes_to_text(self.key)
        return orjson.dumps(
            {
                "id": self.id,
                "origin": self.origin,
                "reason": self.reason,
                "field": self.field,
                "detail": self.detail,
                "key": key,
                "key_encoding": key_encoding,
                "value": value,
                "encoding": encoding,
                "value_bytes": max(self.value_bytes, len(self.value or b"")),
                "headers": [
                    [name, base64.b64encode(content).decode()] for name, content in self.headers
                ],
                "left_out": self.left_out,
                "timestamp_ms": self.timestamp_ms,
                "first": self.first,
                "attempt": self.attempt,
                "time": self.time,
            },
            default=msgspec.to_builtins,
            option=orjson.OPT_UTC_Z,
        )

    @classmethod
    def decode(cls, payload: bytes) -> DeadLetter:
        """Raises UnreadableLetterError for whatever encode() did not write."""
        try:
            letter = _decode_letter(payload)
            value = _text_to_bytes(letter.value, letter.encoding)
            cut = letter.value_bytes > len(value or b"")
            return cls(
                origin=letter.origin,
                reason=letter.reason,
                field=letter.field,
                detail=letter.detail,
                key=_text_to_bytes(letter.key, letter.key_encoding),
                value=value,
                headers=tuple(
                    (name, base64.b64decode(content, validate=True))
                    for name, content in letter.headers
                ),
                timestamp_ms=letter.timestamp_ms,
                time=letter.time,
                value_bytes=letter.value_bytes if cut else -1,
                left_out=letter.left_out,
            )
        except (msgspec.DecodeError, ValueError) as error:
            raise UnreadableLetterError(f"is no dead letter ({error})") from error


class UnreadableLetterError(Exception):
    """A record on the dead-letter topic that is no dead letter."""


class _LetterOnTheWire(msgspec.Struct, frozen=True):
    origin: Origin
    reason: str
    field: str
    detail: str
    key: str | None
    key_encoding: _Encoding
    value: str | None
    encoding: _Encoding
    headers: tuple[tuple[str, str], ...]
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    value_bytes: Int64 = -1
    left_out: tuple[Literal["key", "headers"], ...] = ()
    timestamp_ms: Int64 | None = None


_decode_letter = msgspec.json.Decoder(_LetterOnTheWire).decode


def _bytes_to_text(content: bytes | None) -> tuple[str | None, str]:
    if content is None:
        return None, "none"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = None
    # JSON writes a control character in six bytes; base64 keeps a dead letter near the size of
    # what it wraps, so that it fits the topic.
    if text is not None and len(orjson.dumps(text)) <= LONGEST_AS_TEXT * len(content) + 2:
        return text, "utf-8"
    return base64.b64encode(content).decode(), "base64"


def _text_to_bytes(text: str | None, encoding: str) -> bytes | None:
    if text is None:
        return None
    return base64.b64decode(text, validate=True) if encoding == "base64" else text.encode()
