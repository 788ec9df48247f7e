"""Which queue a ticket goes to, how urgent it is, and why a person must look first. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from models.spec import HeadScore
from stream.records import Priority, RoutedTicket, Scored
from stream.settings import Queue

REVIEW = "review"
DECIDING_HEADS = ("topic", "risk")
PRIORITIES: dict[str, Priority] = {"high": "urgent", "medium": "normal", "low": "low"}


def route(scored: Scored, queues: Sequence[Queue]) -> RoutedTicket | None:
    """The routed ticket of a scored ticket, None for news and posts.

    The first queue whose topics and risks hold takes it. One that the model can't read, or whose
    topic or risk head abstained, goes to review instead, with a provisional priority.
    """
    if scored.source != "ticket":
        return None
    topic, risk = (scored.heads.get(name) for name in DECIDING_HEADS)
    doubts = [
        f"{name} abstained ({head.label} {head.confidence:.2f})"
        for name, head in zip(DECIDING_HEADS, (topic, risk), strict=True)
        if head is not None and head.abstained
    ]
    if scored.unreadable:
        queue, reason = REVIEW, f"not read: {scored.unreadable}"
    elif doubts:
        queue, reason = REVIEW, "; ".join(doubts)
    else:
        queue = next(queue.name for queue in queues if _takes(queue, topic, risk))
        reason = ", ".join(
            f"{name} {head.label} ({head.confidence:.2f})"
            for name, head in zip(DECIDING_HEADS, (topic, risk), strict=True)
            if head is not None
        )
    return RoutedTicket(
        id=scored.id,
        queue=queue,
        priority=PRIORITIES.get(risk.label, "normal") if risk else "normal",
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


def _takes(queue: Queue, topic: HeadScore | None, risk: HeadScore | None) -> bool:
    return (not queue.topics or (topic is not None and topic.label in queue.topics)) and (
        not queue.risks or (risk is not None and risk.label in queue.risks)
    )
