"""What was in force when: told from entries and signs of life, in any order and repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import pytest

from models.stub import StubPredictor
from stream.connections.outbox import Outgoing
from stream.operations.ledger import (
    GONE_AFTER_S,
    Cause,
    Entry,
    Record,
    RulesText,
    Sign,
    complete_since,
    decode,
    encode,
    overlapping,
    spans,
)
from stream.rules.rule_file import RuleFile
from stream.worker import ledger_writer
from stream.worker.ledger_writer import LedgerWriter
from tests.fakes import NOON


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def entry(number: int, minutes: float, cause: Cause, model: str, rules: str) -> Entry:
    return Entry(
        worker="a",
        number=number,
        at=at(minutes),
        cause=cause,
        model=model,
        rules=rules,
        rules_from="rule file r.toml",
    )


HISTORY: list[Record] = [
    RulesText("r1", "# old"),
    entry(1, 0, "start", "m1", "r1"),
    entry(2, 10, "rules", "m1", "r2"),
    Sign("a", at(19)),
    entry(3, 20, "model", "m2", "r2"),
    Sign("a", at(29)),
]


def in_force(records: list[Record], minutes: float, *, now: float) -> list[tuple[str, str]]:
    found = overlapping(spans(records, at(now)), at(minutes), at(minutes))
    return [(span.model, span.rules) for span in found]


def test_each_moment_has_the_model_and_the_rules_that_were_in_force():
    for records in (HISTORY, HISTORY[::-1], HISTORY * 2):
        assert in_force(records, -1, now=30) == []
        assert in_force(records, 9, now=30) == [("m1", "r1")]
        assert in_force(records, 10, now=30) == [("m1", "r2")]
        assert in_force(records, 29.5, now=30) == [("m2", "r2")]
    whole = overlapping(spans(HISTORY, at(30)), at(5), at(15))
    assert [(span.begin, span.end) for span in whole] == [("start", "rules"), ("rules", "model")]


def test_a_worker_that_ended_or_was_not_seen_again_is_no_longer_in_force():
    stopped = [*HISTORY, Sign("a", at(40), ended=True)]
    assert [span.end for span in spans(stopped, at(41))] == ["rules", "model", "stopped"]
    assert in_force(stopped, 41, now=41) == []
    later = 29 + GONE_AFTER_S / 60 + 1
    gone = spans(HISTORY, at(later))[-1]
    assert (gone.until, gone.end) == (at(29), "gone")
    assert in_force(HISTORY, later, now=later) == []


def test_it_is_complete_from_its_first_entry_on_and_where_one_expired_from_the_next_one_on():
    assert complete_since([]) is None
    assert complete_since([Sign("a", at(5))]) is None
    assert complete_since(HISTORY) == at(0)
    assert complete_since(HISTORY[2:]) == at(10)
    other = msgspec.structs.replace(entry(1, 40, "start", "m1", "r1"), worker="b")
    assert complete_since([*HISTORY, other]) == at(0)
    assert complete_since([other, *HISTORY[2:]]) == at(10)


class Outbox:
    """Keeps what was sent, and says when there are so many."""

    def __init__(self, enough: int) -> None:
        self.sent: list[Outgoing] = []
        self.full = asyncio.Event()
        self._enough = enough

    async def send(self, records: Sequence[Outgoing]) -> None:
        self.sent.extend(records)
        if len(self.sent) >= self._enough:
            self.full.set()


async def test_what_is_in_force_for_long_is_written_again_so_that_it_does_not_expire(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_writer, "SIGN_EVERY_S", 0.0)
    monkeypatch.setattr(ledger_writer, "SIGNS_A_DAY", 3)
    outbox = Outbox(enough=7)
    rules = RuleFile("r.toml", {}, (), "# rules")
    writer = LedgerWriter(outbox, "ledger", predictor=StubPredictor(), rules=rules)
    await writer.start()
    async with asyncio.timeout(30):
        await outbox.full.wait()
    await writer.stop()
    first, second = outbox.sent[:2], outbox.sent[5:7]
    assert [type(decode.decode(one.value or b"")) for one in first] == [RulesText, Entry]
    assert first == second


def test_records_come_back_from_their_bytes():
    assert [decode.decode(encode(record)) for record in HISTORY] == HISTORY
