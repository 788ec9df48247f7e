"""The API's answer to which words made the model say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from stream.console.errors import NotFoundError
from stream.console.operations import Call, Operation
from stream.explain.explanation import ExplainedText
from stream.names import SourceKind


class WordsQuery(msgspec.Struct, frozen=True):
    """source tells apart events of one id; any of them where it is empty."""

    event: str
    source: SourceKind | Literal[""] = ""


async def show_words(call: Call) -> ExplainedText:
    services = call.services
    alert = await services.alert(call.path["id"])
    query = call.query
    named = (one for one in alert.evidence if one.event_id == query.event)
    event = next((one for one in named if query.source in {"", one.source}), None)
    if event is None:
        raise NotFoundError(
            f"event {query.event!r} is not among the evidence of alert {alert.id}, which "
            "keeps the latest"
        )
    return await services.explanations.of(alert, event)


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
