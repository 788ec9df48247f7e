"""The API's answer to which words made the model say so."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stream.console.operations import Asked, NotFoundError, Operation
from stream.explain.explained import ExplainedText


class WordsQuery(msgspec.Struct, frozen=True):
    event: str


async def show_words(asked: Asked) -> ExplainedText:
    desk = asked.desk
    alert = await desk.alert(asked.path["id"])
    event = next((one for one in alert.evidence if one.event_id == asked.query.event), None)
    if event is None:
        raise NotFoundError(
            f"event {asked.query.event!r} is not among the evidence of alert {alert.id}, which "
            "keeps the latest"
        )
    return await desk.explanations.of(alert, event)


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/alerts/{id}/words",
        role="viewer",
        run=show_words,
        query=WordsQuery,
        answer=ExplainedText,
        summary="What each word of an event adds to the answers that the alert's rule reads",
    )
