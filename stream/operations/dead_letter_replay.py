"""Sends dead letters to their source topics again, once each, linked to their next failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

import msgspec

from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, RecordSink, open_outbox
from stream.connections.topics import prepare_topics
from stream.ingest.dead_letter import (
    REPLAY_ATTEMPT,
    REPLAY_OF,
    UNPACKS_TO_TOO_MUCH,
    DeadLetter,
)
from stream.operations.dead_letter_log import (
    Replay,
    Wanted,
    latest_failures,
    read_letters,
    read_replays,
)
from stream.operations.replay_turn import ReplayTurn, replay_turn
from stream.records import utc_now
from stream.runtime.login import login_name

MAX_ATTEMPTS = 3
SENT_TOGETHER_BYTES = 4_000_000


class Refused(msgspec.Struct, frozen=True):
    """A dead letter that was not sent again, and why."""

    id: str
    why: str


class Outcome(msgspec.Struct):
    """What a replay did, or with dry_run would do; by_topic and by_reason count the replayed."""

    dry_run: bool
    replayed: int = 0
    by_topic: Counter[str] = msgspec.field(default_factory=Counter)
    by_reason: Counter[str] = msgspec.field(default_factory=Counter)
    refused: list[Refused] = []
    unreadable: int = 0


async def replay(
    settings: Settings,
    wanted: Wanted,
    *,
    again: bool = False,
    dry_run: bool = False,
    by: str = "",
) -> Outcome:
    """Send the wanted dead letters to their source topics with their bytes, key and headers.

    What was replayed before, or failed MAX_ATTEMPTS times, is refused unless again. A crash between
    a record and its mark on the replays topic leaves it to be replayed once more. Raises StartError
    without Kafka or Redis, and while someone else replays. by is kept with each replay; the login
    name if empty.
    """
    outcome = Outcome(dry_run)
    async with AsyncExitStack() as held:
        sender = None
        if not dry_run:
            # Before the marks of earlier replays are read, so that none is still to come.
            turn = await held.enter_async_context(replay_turn(settings))
            await prepare_topics(settings)
            outbox = await held.enter_async_context(open_outbox(settings.kafka))
            sender = _Sender(outbox, settings.topics.replays, turn, by or login_name())
        await _replay(settings, wanted, outcome, sender, again=again)
    return outcome


async def _replay(
    settings: Settings, wanted: Wanted, outcome: Outcome, sender: _Sender | None, *, again: bool
) -> None:
    latest = await latest_failures(settings, since=wanted.since)
    replays = await read_replays(settings)
    topics = replayable(settings)
    seen: set[str] = set()
    async for letter in read_letters(settings, since=wanted.since):
        if letter is None:
            outcome.unreadable += 1
        elif wanted.takes(letter) and letter.id not in seen:
            seen.add(letter.id)
            # What failed while we read is left for the next time.
            latest.setdefault(letter.first, letter.id)
            if why := next(refusals(letter, latest, replays, topics, again=again), ""):
                outcome.refused.append(Refused(letter.id, why))
                continue
            if sender:
                await sender.add(letter)
            outcome.replayed += 1
            outcome.by_topic[letter.origin.topic] += 1
            outcome.by_reason[letter.reason] += 1
    if sender:
        await sender.flush()
    outcome.refused += [
        Refused(one, "is not on the dead-letter topic") for one in wanted.ids if one not in seen
    ]


def replayable(settings: Settings) -> set[str]:
    """Topics that something of ours reads, so that a replay there leads somewhere."""
    return {source.topic for source in settings.sources} | {settings.topics.feedback}


def refusals(
    letter: DeadLetter,
    latest: Mapping[str, str],
    replays: Mapping[str, Replay],
    topics: set[str],
    *,
    again: bool,
) -> Iterator[str]:
    """Why a dead letter is not sent again; none if it may be. latest is by the first failure."""
    if letter.value is None:
        yield (
            "has no value, which no event can be made of; on a compacted topic it would delete "
            "what is there by its key"
        )
    if UNPACKS_TO_TOO_MUCH in dict(letter.headers):
        yield "is a whole batch; send its records again in smaller ones, from where they came"
    if letter.missing:
        yield f"{letter.missing} could not be kept; send it again from where it came"
    if letter.origin.topic not in topics:
        yield (
            f"came from {letter.origin.topic}, which is no source of these settings; "
            "publish it again yourself, or add the source"
        )
    if latest[letter.first] != letter.id:
        yield f"failed again since, as {latest[letter.first]}; replay that one"
    if not again and (before := replays.get(letter.id)):
        yield f"was replayed at {before.time:%Y-%m-%d %H:%M:%S} by {before.by}; --again insists"
    if not again and letter.attempt >= MAX_ATTEMPTS:
        yield f"has failed {letter.attempt} times; mend the cause, then --again insists"


def replayed_record(letter: DeadLetter) -> Outgoing:
    """The record as it came, marked with its first failure and the attempt that this one is."""
    marks = ((REPLAY_OF, letter.first.encode()), (REPLAY_ATTEMPT, str(letter.attempt + 1).encode()))
    kept = [(name, value) for name, value in letter.headers if name not in dict(marks)]
    return Outgoing(
        letter.origin.topic,
        letter.key,
        letter.value,
        headers=(*kept, *marks),
        # Without it, an event that carries no time would be judged as if it had just happened.
        timestamp_ms=letter.timestamp_ms,
    )


class _Sender:
    """Sends in parts; a part's marks are written when Kafka has confirmed its records."""

    def __init__(self, outbox: RecordSink, replays: str, turn: ReplayTurn, by: str) -> None:
        """Replays is the topic of the marks."""
        self._outbox = outbox
        self._replays = replays
        self._turn = turn
        self._by = by
        self._part: list[DeadLetter] = []
        self._bytes = 0

    async def add(self, letter: DeadLetter) -> None:
        self._part.append(letter)
        self._bytes += 1_000 + len(letter.value or b"")
        if self._bytes >= SENT_TOGETHER_BYTES:
            await self.flush()

    async def flush(self) -> None:
        part, self._part, self._bytes = self._part, [], 0
        if part:
            await self._turn.check()
            await self._outbox.send([replayed_record(letter) for letter in part])
            await self._outbox.send(list(self._marks(part)))

    def _marks(self, part: Sequence[DeadLetter]) -> Iterator[Outgoing]:
        now = utc_now()
        for letter in part:
            mark = Replay(
                id=letter.id,
                first=letter.first,
                attempt=letter.attempt + 1,
                topic=letter.origin.topic,
                by=self._by,
                time=now,
            )
            yield Outgoing(self._replays, letter.id.encode(), msgspec.json.encode(mark))
