"""What to label next, and how far labelling has come. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from models.spec import Head, HeadScore, Scores
from stream.console.review import InReview
from stream.names import SourceKind
from stream.processing.tickets import in_doubt, labels_by_head
from stream.records import Feedback, Priority, Scored

LARGEST_TEXT_CHARS = 4_000
FIRST: tuple[Priority, ...] = ("urgent", "normal", "low")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One event for a person to judge. heads are those to be asked about, the first one first.

    reason says why this one: a ticket's on the review topic, or what makes it useful. urgent is a
    ticket's priority.
    """

    event_id: str
    source: SourceKind
    time: datetime
    title: str
    text: str
    customer: str
    reason: str
    heads: tuple[str, ...]
    scores: Scores
    model: str
    urgent: bool = False


class Progress(msgspec.Struct, frozen=True):
    """Of the latest labels on the topic: by this author, by all, and how far authors agree.

    agreement is the share of events judged by several on which all say the same; None without any.
    """

    mine: int
    all: int
    judged_by_several: int
    agreement: float | None


def without_refused(said: Iterable[Feedback], heads: Iterable[Head]) -> list[Feedback]:
    """Without those that the trainer refuses: what the model has no head or no label for.

    Nor those without a time zone, which can't be put in order with the others.
    """
    labels = {head.name: head.labels for head in heads}
    return [
        one for one in said if one.label in labels.get(one.head, ()) and one.time.tzinfo is not None
    ]


def most_useful(
    scored: Iterable[Scored],
    said: Iterable[Feedback],
    *,
    head: str,
    author: str,
    limit: int,
    first: str,
) -> list[Item]:
    """Events whose label would teach the most, the most useful first.

    Smallest margin between the two best labels first (margin sampling: Scheffer, Decomain and
    Wrobel 2001, "Active Hidden Markov Models for Information Extraction"); equal texts once; what
    the author has judged, and what is no text for the model, left out. The event with the id
    `first`, if any, stands before all, judged or not.
    """
    done = {one.event_id for one in said if one.head == head and one.author == author}
    chosen: dict[str, tuple[float, Scored]] = {}
    asked_for: list[Item] = []
    for event in scored:
        answer = event.heads.get(head)
        if answer is None or event.unreadable:
            continue
        if event.id == first:
            asked_for = [_item(event, head, _margin(answer))]
        if event.id in done or event.id == first:
            continue
        known = chosen.get(event.text)
        margin = _margin(answer)
        if known is None or margin < known[0]:
            chosen[event.text] = (margin, event)
    best = sorted(chosen.values(), key=lambda pair: (pair[0], pair[1].id))[:limit]
    return asked_for + [_item(event, head, margin) for margin, event in best]


def in_review(
    tickets: Iterable[InReview],
    said: Iterable[Feedback],
    *,
    known: Sequence[str],
    deciding: Sequence[str],
) -> list[Item]:
    """Tickets that wait for a person, the most urgent and then the oldest first.

    A ticket is done when somebody has judged each head in doubt. known are the model's heads,
    deciding those by which tickets are routed (stream.processing.tickets).
    """
    about: dict[str, list[Feedback]] = defaultdict(list)
    for one in said:
        about[one.event_id].append(one)
    waiting: dict[str, tuple[int, Item]] = {}
    for form in tickets:
        ticket = form.ticket
        judged = labels_by_head(form.labels(about[ticket.id]), ticket.id)
        heads = in_doubt(ticket, known=known, deciding=deciding)
        if judged.keys() >= set(heads):
            continue
        item = Item(
            event_id=ticket.id,
            source="ticket",
            time=ticket.time,
            title=ticket.title,
            text=ticket.text[:LARGEST_TEXT_CHARS],
            customer=ticket.customer,
            reason=ticket.reason,
            heads=tuple(name for name in heads if name not in judged),
            scores=ticket.heads,
            model=ticket.model,
            urgent=ticket.priority == "urgent",
        )
        waiting[ticket.id] = (FIRST.index(ticket.priority), item)
    return [item for _, item in sorted(waiting.values(), key=lambda one: (one[0], one[1].time))]


def progress(said: Sequence[Feedback], author: str) -> Progress:
    """Each author's latest word on an event and head counts once."""
    latest: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one in sorted(said, key=lambda one: one.time):
        latest[one.event_id, one.head][one.author] = one.label
    several = [set(by_author.values()) for by_author in latest.values() if len(by_author) > 1]
    agreed = sum(len(labels) == 1 for labels in several)
    return Progress(
        mine=sum(author in by_author for by_author in latest.values()),
        all=sum(map(len, latest.values())),
        judged_by_several=len(several),
        agreement=agreed / len(several) if several else None,
    )


def _item(event: Scored, head: str, margin: float) -> Item:
    answer = event.heads[head]
    reason = f"{answer.label} is {margin:.2f} ahead of the next label"
    if answer.abstained:
        reason = f"the model abstained; {reason}"
    return Item(
        event_id=event.id,
        source=event.source,
        time=event.time,
        title=event.title,
        text=event.text[:LARGEST_TEXT_CHARS],
        customer=event.customer,
        reason=reason,
        heads=(head,),
        scores=event.heads,
        model=event.model,
    )


def _margin(answer: HeadScore) -> float:
    first, second, *_ = [*sorted(answer.scores.values(), reverse=True), 0.0, 0.0]
    return first - second
