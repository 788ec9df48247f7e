"""Which queue a ticket goes to, how urgent it is, and why a person must look first. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from models.spec import Head
from stream.config.queues import DEFAULT_QUEUES, Queue
from stream.config.settings import SettingsError
from stream.config.spelling import meant
from stream.records import Feedback, Priority, RoutedTicket, Scored

REVIEW = "review"
DECIDING_HEADS = ("topic", "risk")
PLACES = {"topic": "topics", "risk": "risks"}
PRIORITIES: dict[str, Priority] = {"high": "urgent", "medium": "normal", "low": "low"}


def deciding(queues: Sequence[Queue]) -> tuple[str, ...]:
    """The heads that decide where a ticket goes, and in whose doubt a person does.

    Topic and risk, unless the queues ask other heads and not them.
    """
    asked = dict.fromkeys(head for queue in queues for head in queue.matchers)
    others = tuple(head for head in asked if head not in DECIDING_HEADS)
    return tuple(head for head in DECIDING_HEADS if head in asked or not others) + others


def check_queues(queues: Sequence[Queue], heads: Sequence[Head]) -> None:
    """Raises SettingsError for a queue that waits for what these heads never say."""
    labels = {head.name: head.labels for head in heads}
    for position, queue in enumerate(queues):
        for head in queue.heads.keys() & PLACES.keys():
            raise SettingsError(
                f"setting queues.{position}.heads.{head}: is what {PLACES[head]} say; write "
                f"{PLACES[head]} = [...] instead"
            )
        for head, wanted in queue.matchers.items():
            setting = f"setting queues.{position}.{PLACES.get(head, f'heads.{head}')}"
            if head not in labels:
                # The shipped queues are nobody's wish, and stand beside any model.
                if tuple(queues) == DEFAULT_QUEUES:
                    continue
                raise SettingsError(
                    f"{setting}: the model has no head {head!r}, only {', '.join(labels)}; correct "
                    "it, or serve the model that has it"
                )
            for label in wanted:
                if label not in labels[head]:
                    raise SettingsError(
                        f"{setting}: head {head} has no label {label!r}; "
                        f"{meant(label, labels[head])}"
                    )


def route(scored: Scored, queues: Sequence[Queue]) -> RoutedTicket | None:
    """The routed ticket of a scored ticket, None for news and posts.

    The first queue whose matchers hold takes it. One that the model can't read, or of which a head
    that decides abstained, goes to review instead, with a provisional priority.
    """
    if scored.source != "ticket":
        return None
    asked = {name: scored.heads[name] for name in deciding(queues) if name in scored.heads}
    doubts = [
        f"{name} abstained ({head.label} {head.confidence:.2f})"
        for name, head in asked.items()
        if head.abstained
    ]
    if scored.unreadable:
        queue, reason = REVIEW, f"not read: {scored.unreadable}"
    elif doubts:
        queue, reason = REVIEW, "; ".join(doubts)
    else:
        queue = _place({name: head.label for name, head in asked.items()}, queues)
        reason = ", ".join(
            f"{name} {head.label} ({head.confidence:.2f})" for name, head in asked.items()
        )
    return RoutedTicket(
        id=scored.id,
        queue=queue,
        priority=_priority(scored),
        reason=reason,
        customer=scored.customer,
        title=scored.title,
        text=scored.text,
        lang=scored.lang,
        time=scored.time,
        heads=scored.heads,
        model=scored.model,
        origin=scored.origin,
        attributes=scored.attributes,
    )


def _priority(scored: Scored) -> Priority:
    """Never low on a doubtful answer, behind which an urgent ticket would wait the longest."""
    risk = scored.heads.get("risk")
    priority = PRIORITIES.get(risk.label, "normal") if risk else "normal"
    doubtful = scored.unreadable or (risk and risk.abstained)
    return "normal" if doubtful and priority == "low" else priority


def in_doubt(
    ticket: RoutedTicket, *, known: Sequence[str], deciding: Sequence[str]
) -> tuple[str, ...]:
    """The heads that a person must judge before a ticket in review has a place.

    known are the model's heads, deciding those by which tickets are routed. All that decide, where
    the ticket shows no doubt about any.
    """
    asked = tuple(name for name in deciding if name in known)
    doubtful = tuple(
        name for name in asked if (answer := ticket.heads.get(name)) is None or answer.abstained
    )
    return doubtful or asked


def labels_by_head(said: Iterable[Feedback], ticket_id: str) -> dict[str, Feedback]:
    """By head, the latest word on that ticket; an event of another source may have its id."""
    about = (one for one in said if one.event_id == ticket_id and one.source in {"", "ticket"})
    return {one.head: one for one in sorted(about, key=lambda one: one.time)}


def decide(
    ticket: RoutedTicket,
    verdict: Feedback,
    before: Iterable[Feedback],
    *,
    queues: Sequence[Queue],
    known: Sequence[str],
) -> RoutedTicket | None:
    """A ticket in review on the queue that people's labels lead to.

    None unless verdict is the label that was missing: with the last one a ticket leaves review, so
    that a second opinion, or a label given for teaching's sake, does not move it again.
    """
    names = deciding(queues)
    missing = set(in_doubt(ticket, known=known, deciding=names))
    labels = labels_by_head(before, ticket.id)
    if missing <= labels.keys():
        return None
    labels |= labels_by_head([verdict], ticket.id)
    if not missing <= labels.keys():
        return None
    answers: dict[str, str] = {}
    reasons: list[str] = []
    for name in dict.fromkeys((*names, "risk")):
        if said := labels.get(name):
            answers[name] = said.label
            reasons.append(f"{name} {said.label} (by {said.author})")
        elif name in names and (head := ticket.heads.get(name)):
            answers[name] = head.label
            reasons.append(f"{name} {head.label} ({head.confidence:.2f})")
    risk = labels.get("risk")
    return msgspec.structs.replace(
        ticket,
        queue=_place({name: answers[name] for name in names if name in answers}, queues),
        priority=PRIORITIES.get(risk.label, "normal") if risk else ticket.priority,
        reason=", ".join(reasons),
    )


def _place(answers: Mapping[str, str], queues: Sequence[Queue]) -> str:
    return next(
        queue.name
        for queue in queues
        if all(answers.get(head) in labels for head, labels in queue.matchers.items())
    )
