"""What one finished micro-batch causes: scored records, verdicts, tickets, dead letters. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import msgspec

from models.results import Result
from models.spec import BatchInfo, Scores
from stream.config.queues import Queue
from stream.connections.outbox import Outgoing
from stream.ingest.chunks import Chunk
from stream.ingest.dead_letter import DeadLetter
from stream.ingest.readable import abstain, why_unreadable
from stream.names import Topics
from stream.processing.tickets import REVIEW, route
from stream.records import Event, RawRecord, Scored, encode, model_text
from stream.rules.rule_set import Known, Match, RuleSet
from stream.signals.signal_store import Observed
from stream.subjects.finder import SubjectFinder


class Work(msgspec.Struct, frozen=True):
    """An event on its way through the model, with the record and the chunk it came from.

    number counts what a pipeline sent to the model.
    """

    event: Event
    record: RawRecord
    chunk: Chunk
    number: int


class Refused(msgspec.Struct, frozen=True):
    """A record that never reached the model."""

    letter: DeadLetter
    chunk: Chunk


Finished = Result[Work] | Refused


class Shipment(msgspec.Struct):
    """What has to be confirmed before the records of a micro-batch count as done."""

    outgoing: list[Outgoing] = []
    scored: list[Scored] = []
    turns: list[int] = []
    source_keys: list[bytes | None] = []
    matches: list[tuple[Scored, Match]] = []
    dead_letters: Counter[str] = msgspec.field(default_factory=Counter)
    queues: Counter[str] = msgspec.field(default_factory=Counter)
    record_times_ms: list[int] = []
    settled: Counter[Chunk] = msgspec.field(default_factory=Counter)


def judge(
    batch: Sequence[Finished],
    *,
    subjects: SubjectFinder,
    queues: Sequence[Queue],
    topics: Topics,
    languages: Sequence[str],
    now: datetime,
) -> Shipment:
    """All but the rules' verdicts, which need to know what is new and what came before."""
    shipment = Shipment()
    for finished in batch:
        if isinstance(finished, Refused):
            _refuse(shipment, finished.letter, topics)
            shipment.settled[finished.chunk] += 1
            continue
        work = finished.item
        shipment.settled[work.chunk] += 1
        if finished.scores is None:
            _refuse(shipment, unscorable(work.record, finished.error, now), topics)
            continue
        scored = to_scored(
            work.event,
            finished.scores,
            subjects=subjects,
            languages=languages,
            model=finished.model,
            batch=finished.batch,
            now=now,
        )
        shipment.scored.append(scored)
        shipment.source_keys.append(work.event.key)
        shipment.record_times_ms.append(work.record.timestamp)
        if ticket := route(scored, queues):
            topic = topics.review if ticket.queue == REVIEW else topics.queue(ticket.queue)
            shipment.outgoing.append(Outgoing(topic, ticket.id.encode(), encode(ticket)))
            shipment.queues[ticket.queue] += 1
    return shipment


def apply_rules(shipment: Shipment, rules: RuleSet, observed: Observed) -> None:
    """Add the verdicts on each scored event, given the windows of its subjects, in order.

    They may go on changing with the next event. What these begin is known to those after them.
    """
    known = Known(observed.rules)
    first: dict[int, Known] = {}
    for scored, around, then in zip(
        shipment.scored, observed.windows, observed.before, strict=True
    ):
        matches = rules.match(scored, around, known)
        if then is not None:
            was = first.setdefault(id(then), Known(then))
            matches = [one for match in matches if (one := _again(match, was))]
            was.add(matches)
        known.add(matches)
        shipment.matches.extend((scored, match) for match in matches)


def _again(match: Match, was: Known) -> Match | None:
    """A verdict on an event that was delivered before, None if it was not given then.

    It must not end what came after the event: that can only be a repetition, in case it is one.
    """
    if match.outcome == "holds" or match.rule.name in was.about(match.subject):
        return match
    return msgspec.structs.replace(match, repeats=True) if match.outcome == "resolves" else None


def scored_records(shipment: Shipment, topics: Topics, raised: int) -> list[Outgoing]:
    """The records with their turns; raised is that of the verdicts."""
    replace = msgspec.structs.replace
    return [
        Outgoing(topics.scored, key, encode(replace(scored, turn=(observed, raised))))
        for key, scored, observed in zip(
            shipment.source_keys, shipment.scored, shipment.turns, strict=True
        )
    ]


def to_scored(
    event: Event,
    scores: Scores,
    *,
    subjects: SubjectFinder,
    languages: Sequence[str],
    model: str,
    batch: BatchInfo,
    now: datetime,
) -> Scored:
    """The scored record; every head abstains from a text that the model can't read."""
    if unreadable := why_unreadable(model_text(event.title, event.text), event.lang, languages):
        scores = abstain(scores)
    topic = scores.get("topic")
    predicted = topic.label if topic and not topic.abstained else None
    return Scored(
        id=event.id,
        source=event.source,
        origin=event.origin,
        time=event.time,
        received_at=event.received_at,
        scored_at=now,
        title=event.title,
        text=event.text,
        author=event.author,
        customer=event.customer,
        lang=event.lang,
        subjects=subjects.find(event, predicted),
        heads=scores,
        unreadable=unreadable,
        model=model,
        batch=batch,
        attributes=event.attributes,
    )


def unscorable(record: RawRecord, error: str, now: datetime) -> DeadLetter:
    """The dead letter of a record whose text the model can't score."""
    return DeadLetter.of(record, now, reason="model_error", field="text", detail=error[:500])


def _refuse(shipment: Shipment, letter: DeadLetter, topics: Topics) -> None:
    shipment.outgoing.append(Outgoing(topics.dead_letter, letter.key, letter.encode()))
    shipment.dead_letters[letter.reason] += 1
