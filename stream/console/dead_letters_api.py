"""The API's dead letters: what failed and why, and sending it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

import msgspec

from stream.console.operations import Call, Operation
from stream.console.services import Services
from stream.operations.dead_letter_log import Replay, Wanted, list_dead_letters
from stream.operations.dead_letter_replay import Refused, replay

VALUE_CHARS = 600


class Letter(msgspec.Struct, frozen=True):
    """One dead letter; value is the beginning of its bytes as text."""

    id: str
    reason: str
    field: str
    detail: str
    time: datetime
    attempt: int
    topic: str
    value: str
    replayed: datetime | None


class LettersQuery(msgspec.Struct, frozen=True):
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class Letters(msgspec.Struct, frozen=True):
    letters: list[Letter]
    reasons: dict[str, int]
    unreadable: int


class ReplayWish(msgspec.Struct, frozen=True):
    """again: also what was replayed before or failed every time."""

    ids: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=500)]
    again: bool = False


class Replayed(msgspec.Struct, frozen=True):
    """How many were sent, and which were not and why."""

    replayed: int
    refused: list[Refused]


async def letters(call: Call) -> Letters:
    limit = call.query.limit
    return await call.services.single_flight.answer(
        call.query, lambda: _letters(call.services, limit)
    )


async def _letters(services: Services, limit: int) -> Letters:
    listing = await list_dead_letters(services.settings, limit=limit)
    found = [
        Letter(
            letter.id,
            letter.reason,
            letter.field,
            letter.detail,
            letter.time,
            letter.attempt,
            letter.origin.topic,
            (letter.value or b"")[:VALUE_CHARS].decode(errors="replace"),
            _time_of(listing.replayed.get(letter.id)),
        )
        for letter in reversed(listing.letters)
    ]
    return Letters(found, Counter(letter.reason for letter in found), listing.unreadable)


async def replay_letters(call: Call) -> Replayed:
    services, wanted = call.services, Wanted(ids=call.body.ids)
    async with services.replaying:
        outcome = await replay(services.settings, wanted, again=call.body.again, by=call.by.name)
    return Replayed(outcome.replayed, outcome.refused)


def _time_of(one: Replay | None) -> datetime | None:
    return one.time if one else None


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/dead-letters",
        role="viewer",
        run=letters,
        query=LettersQuery,
        answer=Letters,
        summary="The newest dead letters with their reasons",
    )
    yield Operation(
        method="POST",
        path="/dead-letters/replay",
        role="operator",
        run=replay_letters,
        body=ReplayWish,
        answer=Replayed,
        summary="Send dead letters to their source topics again",
    )
