"""Reads the dead-letter topic: which records failed, why, and which were replayed since."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import msgspec

from stream.config.settings import Settings
from stream.connections.topic_log import read_log
from stream.ingest.dead_letter import DeadLetter, UnreadableLetterError
from stream.records import DECODE_ERRORS


class Wanted(msgspec.Struct, frozen=True):
    """Which dead letters; an empty field wants all of them. since is of the failure."""

    reasons: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    since: datetime | None = None

    @property
    def everything(self) -> bool:
        return self == Wanted()

    def takes(self, letter: DeadLetter) -> bool:
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (not self.topics or letter.origin.topic in self.topics)
            and (not self.ids or letter.id in self.ids)
            and (self.since is None or letter.time >= self.since)
        )


class Replay(msgspec.Struct, frozen=True):
    """That a dead letter was sent again: what the replays topic keeps, by the letter's id."""

    id: str
    first: str
    attempt: int
    topic: str
    by: str
    time: datetime


class Listing(msgspec.Struct, frozen=True):
    """letters, oldest first, each record's last failure only; when replayed, by a letter's id.

    unreadable counts records on the topic that are no dead letters of ours.
    """

    letters: list[DeadLetter]
    replayed: dict[str, Replay]
    unreadable: int


async def list_dead_letters(
    settings: Settings, *, limit: int, wanted: Wanted | None = None
) -> Listing:
    """The newest dead letters, at most limit. Raises StartError without Kafka."""
    wanted = wanted or Wanted()
    latest = await latest_failures(settings, since=wanted.since) if wanted.reasons else {}
    newest: dict[str, DeadLetter] = {}
    unreadable = 0
    read = read_letters(settings, since=wanted.since, last=limit if wanted.everything else None)
    async for letter in read:
        if letter is None:
            unreadable += 1
        elif wanted.takes(letter) and latest.get(letter.first, letter.id) == letter.id:
            keep_latest(newest, letter)
            if len(newest) >= 2 * limit:  # values may be large, so no more of them than needed
                newest = dict(list(_by_time(newest))[-limit:])
    replayed = await read_replays(settings)
    return Listing([letter for _, letter in _by_time(newest)][-limit:], replayed, unreadable)


async def latest_failures(settings: Settings, *, since: datetime | None) -> dict[str, str]:
    """The id of each record's latest failure, by that of its first."""
    newest: dict[str, DeadLetter] = {}
    async for letter in read_letters(settings, since=since):
        if letter is not None:
            # Only what keep_latest compares: the values may be many and large.
            keep_latest(newest, msgspec.structs.replace(letter, value=None))
    return {first: letter.id for first, letter in newest.items()}


def keep_latest(letters: dict[str, DeadLetter], letter: DeadLetter) -> None:
    """Count a record once however often it failed, or was read again after a crash."""
    before = letters.get(letter.first)
    if before is None or (before.attempt, before.time) <= (letter.attempt, letter.time):
        letters[letter.first] = letter


async def read_letters(
    settings: Settings, *, since: datetime | None, last: int | None = None
) -> AsyncIterator[DeadLetter | None]:
    """What stands on the topic; None for each record there that is no dead letter."""
    topic = settings.topics.dead_letter
    async for record in read_log(settings, topic, since=since, last=last):
        try:
            yield DeadLetter.decode(record.value or b"")
        except UnreadableLetterError:
            yield None


async def read_replays(settings: Settings) -> dict[str, Replay]:
    """The last replay of each dead letter that had one, by the letter's id."""
    replays: dict[str, Replay] = {}
    async for record in read_log(settings, settings.topics.replays):
        try:
            replay = _decode_replay(record.value or b"")
        except DECODE_ERRORS:
            continue  # a tombstone, or not ours: as if it had not been replayed
        replays[replay.id] = replay
    return replays


_decode_replay = msgspec.json.Decoder(Replay).decode


def _by_time(letters: dict[str, DeadLetter]) -> list[tuple[str, DeadLetter]]:
    return sorted(letters.items(), key=lambda item: item[1].time)
