"""The records that flow through the system, and their bytes on the wire.

gc=False: they hold no cycles, so Python's collector need neither count nor search them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec

from models.spec import BatchInfo, HeadScore, Scores
from stream.names import SourceKind

T = TypeVar("T")

Severity = Literal["info", "warning", "critical"]
AlertState = Literal["firing", "updated", "resolved", "acknowledged", "silenced"]
Priority = Literal["urgent", "normal", "low"]

# What Kafka counts with, and orjson can write.
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

FEEDBACK_VERSION = 1

DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are not ours: no UTF-8, or brackets without end, too."""


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Where a record was read: names it for ever, also when it carries no id of its own."""

    topic: str
    partition: Int64
    offset: Int64

    @property
    def record_id(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"


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
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Event(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message as the user meant it: typed, cleaned, and still traceable to its origin."""

    id: str
    source: SourceKind
    origin: Origin
    key: bytes | None
    text: str
    time: datetime
    received_at: datetime
    title: str = ""
    author: str = ""
    lang: str = ""
    customer: str = ""
    tickers: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}


class Subject(msgspec.Struct, frozen=True, gc=False):
    """Who or what an event is about. relevance and novelty are in 0..1."""

    kind: str
    id: str
    relevance: float = 1.0
    novelty: float = 1.0


class Scored(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the model said of one event: the durable record on the scored topic.

    novelty is in 0..1, 1 for a text unlike any before. copy_of is the id of the first event of
    this text, empty unless this one is a near copy that adds nothing. turn is the event's place in
    the order in which all workers together folded events into windows, and the place of its
    verdicts among all that changed alerts; one line of numbers, so that the two compare. None for a
    record that no worker judged.
    """

    id: str
    source: SourceKind
    origin: Origin
    time: datetime
    received_at: datetime
    scored_at: datetime
    title: str
    text: str
    author: str
    customer: str
    lang: str
    subjects: tuple[Subject, ...]
    heads: Scores
    unreadable: str
    model: str
    batch: BatchInfo
    attributes: dict[str, Any]
    novelty: float = 1.0
    copy_of: str = ""
    turn: tuple[int, int] | None = None


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """An event that made an alert fire or grow. Its text may be cut; at origin it is whole."""

    event_id: str
    source: SourceKind
    time: datetime
    text: str
    scores: dict[str, HeadScore]
    title: str = ""
    origin: Origin | None = None
    model: str = ""
    novelty: float = 1.0
    copy_of: str = ""


class Handling(msgspec.Struct, frozen=True, kw_only=True):
    """What people, the sweeper or a silence did about an alert; action to comment tell the last.

    acknowledged_severity is what the acknowledgement covers: above it people are told again.
    silence is the id of the silence that hid the alert last. flapping: its fingerprint came and
    went too often lately for anyone to be told each time.
    """

    action: Literal[
        "",
        "acknowledged",
        "assigned",
        "commented",
        "resolved",
        "expired",
        "silenced",
        "unsilenced",
        "flapping",
    ] = ""
    by: str = ""
    at: datetime | None = None
    comment: str = ""
    acknowledged_by: str = ""
    acknowledged_severity: Severity | Literal[""] = ""
    assignee: str = ""
    silence: str = ""
    flapping: bool = False


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of one alert; sequence counts the transitions of an episode from 1.

    subject is "<kind>:<id>", for example "ticker:HALC". signal holds the figures of the subject's
    windows at this moment (docs/rules.md), condition what the rule asked of them, labels what
    routing goes by: the rule's own and rule, severity, subject_kind. first_seen is when the rule
    began to hold, fired_at when it had held long enough. ended_at is when the alert ended: in
    event time if an event ended it, which is ended_by then, else by the clock. Alerts of former
    versions lack all three.
    """

    id: str
    fingerprint: str
    episode: int
    sequence: int
    rule: str
    rule_version: str
    severity: Severity
    state: AlertState
    subject: str
    title: str
    summary: str
    first_seen: datetime
    last_seen: datetime
    count: int
    evidence: tuple[Evidence, ...]
    signal: dict[str, Any]
    model: str
    labels: dict[str, str] = {}
    condition: str = ""
    handling: Handling = Handling()
    fired_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: Evidence | None = None

    @property
    def began(self) -> datetime:
        """When people could know of it."""
        return self.fired_at or self.first_seen


class RoutedTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A ticket on its queue, or on the review topic with the reason it needs a person."""

    id: str
    queue: str
    priority: Priority
    reason: str
    customer: str
    title: str
    text: str
    lang: str
    time: datetime
    heads: Scores
    model: str
    origin: Origin
    attributes: dict[str, Any]


class TwoAnswers(msgspec.Struct, frozen=True):
    """What the champion said for a head and what the challenger would have; confidences in 0..1."""

    champion: str
    champion_confidence: float
    challenger: str
    challenger_confidence: float


class Shadowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a challenger in shadow would have said of an event, head by head.

    champion and challenger are versions. Nothing acts on this record but the trainer.
    """

    id: str
    source: SourceKind
    champion: str
    challenger: str
    heads: dict[str, TwoAnswers]


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """A person's verdict on one event: what a head should have said.

    id names the verdict, so that a repeat is told from a second opinion. text may be given for an
    event that never ran through the stream; source tells apart events of one id.
    """

    id: str
    event_id: str
    head: str
    label: str
    author: str
    time: datetime
    text: str = ""
    source: SourceKind | Literal[""] = ""
    version: int = FEEDBACK_VERSION


_encoder = msgspec.json.Encoder()


def encode(record: Scored | Alert | RoutedTicket | Feedback | Shadowed) -> bytes:
    """JSON bytes of an output record; times are UTC ISO 8601 with Z."""
    return _encoder.encode(record)


decode_scored = msgspec.json.Decoder(Scored).decode
decode_alert = msgspec.json.Decoder(Alert).decode
decode_shadowed = msgspec.json.Decoder(Shadowed).decode
decode_routed_ticket = msgspec.json.Decoder(RoutedTicket).decode


def decode_feedback(payload: bytes) -> Feedback:
    return written_by_hand(msgspec.json.decode(payload), Feedback)


def written_by_hand(row: Any, kind: type[T]) -> T:
    """Of a JSON object that people wrote: an id may be an integer, as it may in a source record."""
    if isinstance(row, dict):
        row = row | {at: str(row[at]) for at in ("id", "event_id") if type(row.get(at)) is int}
    return msgspec.convert(row, kind)


def model_text(title: str, text: str) -> str:
    """What the model reads of an event: the title where there is one, then the text."""
    if title and not text.startswith(title):
        return f"{title}. {text}"
    return text


def utc_now() -> datetime:
    return datetime.now(UTC)
