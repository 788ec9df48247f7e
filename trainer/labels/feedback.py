"""Feedback as it arrives, checked against the model's heads. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from models.spec import Head
from stream.ingest.dead_letter import Reason
from stream.names import MAX_ID_CHARS
from stream.records import DECODE_ERRORS, FEEDBACK_VERSION, Feedback, decode_feedback

MAX_FEEDBACK_BYTES = 64_000
MAX_NAME_CHARS = 200
_LENGTHS = (("id", MAX_NAME_CHARS), ("event_id", MAX_ID_CHARS), ("author", MAX_NAME_CHARS))
# Clocks of different machines are never quite the same.
MAX_FUTURE = timedelta(minutes=5)


class Refusal(NamedTuple):
    """Why a record of the feedback topic teaches nothing, and the field at fault."""

    reason: Reason
    field: str
    detail: str


class Text(NamedTuple):
    """An event's text as the model reads it, and the kind of source it came from.

    unreadable says why no answer about it would mean anything, "" if the model can read it.
    """

    text: str
    source: str
    unreadable: str = ""


class Accepted(NamedTuple):
    """Feedback and where on its topic it stood.

    The offset is after all those that the partition had before its topic was made anew, so that of
    two records of a partition the later one always has the higher.
    """

    partition: int
    offset: int
    feedback: Feedback


def read_feedback(
    payload: bytes | None, heads: Sequence[Head], now: datetime
) -> Feedback | Refusal:
    """A record of the feedback topic, or why it is refused. Unknown fields are ignored."""
    if not payload:
        return Refusal("empty", "", "the record has no value; send a JSON object")
    if len(payload) > MAX_FEEDBACK_BYTES:
        return Refusal(
            "too_large", "", f"has {len(payload)} bytes, {MAX_FEEDBACK_BYTES} at most are taken"
        )
    try:
        feedback = decode_feedback(payload)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        missing = message.partition("missing required field `")[2]
        return Refusal("wrong_type", (path or missing).rstrip("`"), message)
    except DECODE_ERRORS as error:
        return Refusal("not_json", "", str(error))
    return _fault(feedback, heads, now) or feedback


def _fault(feedback: Feedback, heads: Sequence[Head], now: datetime) -> Refusal | None:
    if feedback.version != FEEDBACK_VERSION:
        return Refusal(
            "unknown_version",
            "version",
            f"is {feedback.version}; this program reads version {FEEDBACK_VERSION}",
        )
    for name, most in _LENGTHS:
        value: str = getattr(feedback, name)
        if not value.strip():
            return Refusal("empty_field", name, "is empty; say who or what it is")
        if len(value) > most:
            return Refusal("too_long", name, f"is longer than {most} characters")
        # SQLite's JSON functions end a string there, so its label would never be found again.
        if "\0" in value:
            return Refusal("bad_value", name, "holds a NUL character; leave it out")
    return _time_fault(feedback.time, now) or _label_fault(feedback, heads)


def _time_fault(time: datetime, now: datetime) -> Refusal | None:
    if time.tzinfo is None:
        return Refusal("bad_time", "time", "has no time zone; write UTC, ISO 8601 with Z")
    if time > now + MAX_FUTURE:
        return Refusal("future_time", "time", f"{time.isoformat()} lies in the future")
    return None


def _label_fault(feedback: Feedback, heads: Sequence[Head]) -> Refusal | None:
    head = next((head for head in heads if head.name == feedback.head), None)
    if head is None:
        names = ", ".join(head.name for head in heads)
        return Refusal("unknown_head", "head", f"{feedback.head!r} is none of {names}")
    if feedback.label not in head.labels:
        labels = ", ".join(head.labels)
        return Refusal("unknown_label", "label", f"{feedback.label!r} is none of {labels}")
    return None
