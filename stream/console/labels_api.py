"""The API's labelling: what to judge next, and a person's verdict on its way to the trainer."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from models.spec import Head
from stream.connections.outbox import Outgoing
from stream.console.body_fields import Name
from stream.console.errors import RefusedError
from stream.console.label_queue import (
    Item,
    Progress,
    in_review,
    most_useful,
    progress,
    without_refused,
)
from stream.console.operations import Call, Operation
from stream.console.recent import KEPT_TICKETS, rate
from stream.console.review import InReview, latest_forms
from stream.names import MAX_ID_CHARS, SourceKind
from stream.processing.tickets import decide, deciding
from stream.records import Feedback, RoutedTicket, encode, utc_now

MAX_ITEMS = 200
RATE_S = 600

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)]


class TeachQuery(msgspec.Struct, frozen=True):
    """head, where it is empty, is the model's first.

    event is the id of one to be shown first, judged or not, where the console still keeps it.
    """

    head: str = ""
    limit: Limit = 50
    event: str = ""


class ReviewQuery(msgspec.Struct, frozen=True):
    limit: Limit = MAX_ITEMS


class TeachAnswer(msgspec.Struct, frozen=True):
    """caught_up is False while the console still reads the latest records from Kafka.

    verdict is the trainer's latest, with its time; None where none is known.
    """

    heads: tuple[Head, ...]
    items: list[Item]
    progress: Progress
    caught_up: bool
    verdict: dict[str, Any] | None
    head: str


class QueueState(msgspec.Struct, frozen=True):
    """A ticket queue in the records the console keeps: per minute over the last ten minutes."""

    name: str
    kept: int
    per_minute: float
    urgent: int
    latest: datetime | None


class ReviewAnswer(msgspec.Struct, frozen=True):
    """waiting and urgent count all that wait, oldest is their first time; items are the first."""

    heads: tuple[Head, ...]
    items: list[Item]
    waiting: int
    urgent: int
    oldest: datetime | None
    queues: list[QueueState]
    progress: Progress
    caught_up: bool


class Verdict(msgspec.Struct, frozen=True):
    """id is the caller's name for this verdict: sent again with the same id, it counts once."""

    id: Name
    event_id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_CHARS)]
    head: str
    label: str
    source: SourceKind | Literal[""] = ""

    def __post_init__(self) -> None:
        if not (self.event_id.strip() and self.event_id.isprintable()):
            raise ValueError("event_id is blank or has unprintable characters, as no event's has")


class Labelled(Feedback, frozen=True, kw_only=True):
    """queue is where the ticket went, as this verdict decided it; empty for all others."""

    queue: str = ""


class Suspects(msgspec.Struct, frozen=True):
    suspects: list[dict[str, str]]


async def teach(call: Call) -> TeachAnswer:
    services, query = call.services, call.query
    heads = await asyncio.to_thread(services.heads)
    head = _named(heads, query.head).name if query.head else heads[0].name
    said = without_refused(services.recent.feedback, heads)
    items = most_useful(
        services.recent.scored,
        said,
        head=head,
        author=call.by.name,
        limit=query.limit,
        first=query.event,
    )
    verdict = next(iter(await asyncio.to_thread(services.labels.attempts)), None)
    shown = progress(said, call.by.name)
    return TeachAnswer(heads, items, shown, services.recent.caught_up, verdict, head)


async def review(call: Call) -> ReviewAnswer:
    services = call.services
    heads = await asyncio.to_thread(services.heads)
    said = without_refused(services.recent.feedback, heads)
    waiting = in_review(
        _forms(call).values(),
        said,
        known=[head.name for head in heads],
        deciding=deciding(services.settings.queues),
    )
    return ReviewAnswer(
        heads,
        waiting[: call.query.limit],
        len(waiting),
        sum(item.urgent for item in waiting),
        min((item.time for item in waiting), default=None),
        [_queue_state(call, queue.name) for queue in services.settings.queues],
        progress(said, call.by.name),
        services.recent.caught_up,
    )


async def give_feedback(call: Call) -> Labelled:
    services, verdict = call.services, call.body
    heads = await asyncio.to_thread(services.heads)
    head = _named(heads, verdict.head)
    if verdict.label not in head.labels:
        raise RefusedError(f"label {verdict.label!r} is none of {', '.join(head.labels)}")
    if verdict.source in {"", "ticket"} and not services.recent.caught_up:
        # A ticket that is not known yet would leave review and go nowhere.
        raise RefusedError(
            "the console still reads the latest tickets from Kafka; label this again in a moment"
        )
    said = Feedback(
        id=verdict.id,
        event_id=verdict.event_id,
        head=verdict.head,
        label=verdict.label,
        author=call.by.name,
        time=utc_now(),
        source=verdict.source,
    )
    topics = services.settings.topics
    async with services.pending_feedback.turn(said.event_id):
        ticket = _decided(call, said, heads)
        # The ticket goes first: with the label known it would be gone from review.
        if ticket:
            topic = topics.queue(ticket.queue)
            await services.sender.send([Outgoing(topic, ticket.id.encode(), encode(ticket))])
        await services.sender.send(
            [Outgoing(topics.feedback, said.event_id.encode(), encode(said))]
        )
        services.pending_feedback.add(said)
    return Labelled(**msgspec.structs.asdict(said), queue=ticket.queue if ticket else "")


async def suspects(call: Call) -> Suspects:
    return Suspects(await asyncio.to_thread(call.services.labels.suspects))


def _decided(call: Call, said: Feedback, heads: Sequence[Head]) -> RoutedTicket | None:
    """The ticket that this verdict moves from review to a queue."""
    services = call.services
    before = services.pending_feedback.beside(services.recent.feedback)
    if any(
        (one.id, one.event_id, one.head) == (said.id, said.event_id, said.head) for one in before
    ):
        return None
    form = _forms(call).get(said.event_id)
    if form is None:
        return None
    return decide(
        form.ticket,
        said,
        form.labels(without_refused(before, heads)),
        queues=services.settings.queues,
        known=[head.name for head in heads],
    )


def _forms(call: Call) -> dict[str, InReview]:
    recent, settings = call.services.recent, call.services.settings
    topics = settings.topics
    names = dict.fromkeys(topics.queue(queue.name) for queue in settings.queues)
    queued = itertools.chain.from_iterable(map(recent.taken, names))
    return latest_forms(recent.taken(topics.review), queued)


def _named(heads: Iterable[Head], name: str) -> Head:
    heads = list(heads)
    found = next((head for head in heads if head.name == name), None)
    if found is None:
        raise RefusedError(f"head {name!r} is none of {', '.join(head.name for head in heads)}")
    return found


def _queue_state(call: Call, name: str) -> QueueState:
    settings = call.services.settings
    seen = call.services.recent.taken(settings.topics.queue(name))
    now_s = utc_now().timestamp()
    ages_s = [now_s - one.at_ms / 1000 for one in seen]
    tickets: list[Any] = [one.record for one in seen]
    return QueueState(
        name,
        len(seen),
        60 * rate(ages_s, window_s=RATE_S, most=KEPT_TICKETS),
        sum(ticket.priority == "urgent" for ticket in tickets),
        max((ticket.time for ticket in tickets), default=None),
    )


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/teach",
        role="viewer",
        run=teach,
        query=TeachQuery,
        answer=TeachAnswer,
        summary="Events whose label would teach the model the most",
    )
    yield Operation(
        method="GET",
        path="/review",
        role="viewer",
        run=review,
        query=ReviewQuery,
        answer=ReviewAnswer,
        summary="Tickets that wait for a person, and the queues",
    )
    yield Operation(
        method="POST",
        path="/feedback",
        role="labeller",
        run=give_feedback,
        body=Verdict,
        answer=Labelled,
        summary="Say what a head should have answered; the last label sends a ticket to its queue",
    )
    yield Operation(
        method="GET",
        path="/suspects",
        role="viewer",
        run=suspects,
        answer=Suspects,
        summary="Labels that contradict the others, the worst first",
    )
