"""What a condition can read: the event, the heads' answers, a subject and its windows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from models.spec import Head
from stream.records import Scored, Subject
from stream.signals.figures import FIGURES, WHOLE_FIGURES

EVENT_FIELDS = (
    "id",
    "source",
    "text",
    "title",
    "author",
    "customer",
    "lang",
    "tickers",
    "time",
    "attributes",
    "novelty",
    "copy_of",
)
HEAD_FIELDS = ("label", "confidence", "abstained", "scores")
SUBJECT_FIELDS = ("kind", "id", "relevance", "novelty")
PER_SUBJECT = {"signal", "subject"}
"""Names that mean something else for each subject of one event."""


def of_event(scored: Scored, used: Mapping[str, set[str]]) -> dict[str, Any]:
    """What the conditions read and no more: cel copies all it is given, 100 us for everything."""
    variables: dict[str, Any] = {}
    for name, fields in used.items():
        if name == "event":
            wanted: Iterable[str] = EVENT_FIELDS if "*" in fields else fields
            variables[name] = {field: _event_field(scored, field) for field in wanted}
        elif name in scored.heads and name not in PER_SUBJECT:
            wanted = HEAD_FIELDS if "*" in fields else fields
            head = scored.heads[name]
            variables[name] = {field: getattr(head, field) for field in wanted}
    return variables


def of_subject(subject: Subject, used: Mapping[str, set[str]]) -> dict[str, Any]:
    """What depends on which subject of an event is asked about, but for its windows' figures."""
    fields = used.get("subject")
    if not fields:
        return {}
    wanted = SUBJECT_FIELDS if "*" in fields else fields
    return {"subject": {field: getattr(subject, field) for field in wanted}}


def _event_field(scored: Scored, field: str) -> Any:
    if field == "tickers":
        return [subject.id for subject in scored.subjects if subject.kind == "ticker"]
    return getattr(scored, field)


def sample(heads: Sequence[Head]) -> dict[str, Any]:
    """Every variable with a value of its type, to try a condition on."""
    event: dict[str, Any] = dict.fromkeys(EVENT_FIELDS, "sample")
    event |= {
        "source": "news",
        "tickers": ["HALC"],
        "attributes": {},
        "novelty": 1.0,
        "copy_of": "",
        "time": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return {
        "event": event,
        "subject": {"kind": "ticker", "id": "HALC", "relevance": 1.0, "novelty": 1.0},
        "signal": {name: 1 if name in WHOLE_FIGURES else 0.5 for name in FIGURES},
        **{
            head.name: {
                "label": head.labels[0],
                "confidence": 0.5,
                "abstained": False,
                "scores": dict.fromkeys(head.labels, 1 / len(head.labels)),
            }
            for head in heads
        },
    }
