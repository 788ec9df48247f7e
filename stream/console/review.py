"""Tickets in review as they stand: in their latest form, and with the labels given for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from stream.records import Feedback, RoutedTicket

Seen = tuple[int, RoutedTicket]
"""A ticket and when Kafka took it, epoch milliseconds."""


class InReview(NamedTuple):
    """A ticket, and since when it has had this title and text; None where it had no others."""

    ticket: RoutedTicket
    since: datetime | None = None

    def labels(self, said: Iterable[Feedback]) -> list[Feedback]:
        """What was said of the ticket in this form: of another, a label settles nothing."""
        return [
            one
            for one in said
            if one.event_id == self.ticket.id and (self.since is None or one.time >= self.since)
        ]


def latest_forms(review: Iterable[Seen], queued: Iterable[Seen]) -> dict[str, InReview]:
    """By id, the last record of each ticket in review, unless a queue has got it since.

    A ticket that is edited comes again under its id, and may need no review then.
    """
    forms: dict[str, InReview] = {}
    came_ms: dict[str, int] = {}
    for at_ms, ticket in review:
        before = forms.get(ticket.id)
        since = before.since if before else None
        if before and _form(before.ticket) != _form(ticket):
            since = datetime.fromtimestamp(at_ms / 1000, UTC)
        forms[ticket.id] = InReview(ticket, since)
        # The repeat of a form that a queue has already, as after a crash, is none to look at again.
        if before is None or since != before.since:
            came_ms[ticket.id] = at_ms
    for at_ms, ticket in queued:
        if at_ms > came_ms.get(ticket.id, at_ms):
            forms.pop(ticket.id, None)
    return forms


def _form(ticket: RoutedTicket) -> tuple[str, str]:
    return ticket.title, ticket.text
