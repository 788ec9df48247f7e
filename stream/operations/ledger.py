"""Which model and which rules were in force on which worker, and when: the ledger's records. Pure.

A worker writes an entry before it judges by something new, and signs of life in between. A killed
worker writes no end: it counts as gone when it has not been seen for a while.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec

SIGN_EVERY_S = 60.0
GONE_AFTER_S = 3 * SIGN_EVERY_S

Cause = Literal["start", "rules", "model"]


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag="entry", tag_field="kind"):
    """From at on (the worker's clock), this worker scores by this model and judges by these rules.

    number counts the entries of a worker from 1. rules is the version of the file that rules_from
    names, model the version of the model, runs_on its device and forward path in words.
    """

    worker: str
    number: int
    at: datetime
    cause: Cause
    model: str
    rules: str
    rules_from: str
    runs_on: str = ""

    @property
    def key(self) -> bytes:
        return f"{self.worker}:{self.number}".encode()


class Sign(msgspec.Struct, frozen=True, tag="sign", tag_field="kind"):
    """The worker was alive at that time; the last one says that it ended."""

    worker: str
    at: datetime
    ended: bool = False

    @property
    def key(self) -> bytes:
        return self.worker.encode()


class RulesText(msgspec.Struct, frozen=True, tag="rules", tag_field="kind"):
    """What a rule file said, by its version."""

    version: str
    text: str

    @property
    def key(self) -> bytes:
        return f"rules:{self.version}".encode()


Record = Entry | Sign | RulesText
encode = msgspec.json.Encoder().encode
decode: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Entry | Sign | RulesText)


class Span(msgspec.Struct, frozen=True):
    """What was in force on a worker in [since, until); until is None where it still is.

    end says what ended it: another model, other rules, an orderly end, or a worker that was not
    seen again.
    """

    worker: str
    since: datetime
    until: datetime | None
    model: str
    rules: str
    rules_from: str
    begin: Cause
    end: Literal["", "rules", "model", "stopped", "gone"]
    runs_on: str = ""


def spans(records: Iterable[Record], now: datetime) -> list[Span]:
    """In the order of their begin. Records may come in any order, and more than once."""
    entries: dict[bytes, Entry] = {}
    last_sign: dict[str, Sign] = {}
    for record in records:
        if isinstance(record, Entry):
            entries[record.key] = record
        elif isinstance(record, Sign):
            known = last_sign.get(record.worker)
            if known is None or record.at >= known.at:
                last_sign[record.worker] = record
    workers: dict[str, list[Entry]] = {}
    for entry in sorted(entries.values(), key=lambda one: one.number):
        workers.setdefault(entry.worker, []).append(entry)
    found = [
        span
        for worker, written in workers.items()
        for span in _of_worker(written, last_sign.get(worker), now)
    ]
    return sorted(found, key=lambda span: (span.since, span.worker))


def overlapping(found: Iterable[Span], since: datetime, until: datetime) -> list[Span]:
    """The spans in which something was in force at some time from since up to and with until."""
    return [
        span for span in found if span.since <= until and (span.until is None or span.until > since)
    ]


def complete_since(records: Iterable[Record]) -> datetime | None:
    """From when on the ledger tells of everything; None for an empty one.

    Before its first entry it knows nothing. And Kafka drops entries some time after they were in
    force: a worker whose first one is missing judged by something before the next.
    """
    first: dict[str, Entry] = {}
    for record in records:
        if isinstance(record, Entry):
            known = first.get(record.worker)
            if known is None or record.number < known.number:
                first[record.worker] = record
    begun = [entry.at for entry in first.values()]
    cut = [entry.at for entry in first.values() if entry.number > 1]
    return max([min(begun), *cut]) if begun else None


def _of_worker(written: list[Entry], sign: Sign | None, now: datetime) -> list[Span]:
    found: list[Span] = []
    for entry, following in zip(written, [*written[1:], None], strict=True):
        end: Literal["", "rules", "model", "stopped", "gone"] = ""
        until: datetime | None = None
        if following is not None:
            until = following.at
            end = "model" if following.cause == "model" else "rules"
        else:
            seen = max(entry.at, sign.at) if sign else entry.at
            if sign and sign.ended:
                until, end = seen, "stopped"
            elif now - seen > timedelta(seconds=GONE_AFTER_S):
                until, end = seen, "gone"
        found.append(
            Span(
                entry.worker,
                entry.at,
                until,
                entry.model,
                entry.rules,
                entry.rules_from,
                entry.cause,
                end,
                entry.runs_on,
            )
        )
    return found
