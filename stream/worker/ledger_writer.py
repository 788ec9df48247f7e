"""Keeps the ledger of one worker: what it is about to judge by, written before it does."""

from __future__ import annotations

import asyncio
import itertools
import socket
import uuid

from models.spec import Predictor
from stream.connections.outbox import Outgoing, RecordSink
from stream.operations.ledger import SIGN_EVERY_S, Cause, Entry, RulesText, Sign, encode
from stream.records import utc_now
from stream.rules.rule_file import RuleFile
from stream.runtime.tasks import end

SIGNS_A_DAY = round(86_400 / SIGN_EVERY_S)


class LedgerWriter:
    """start() and stop() frame its use, on one event loop, as model() and rules() lie between."""

    def __init__(
        self, outbox: RecordSink, topic: str, *, predictor: Predictor, rules: RuleFile
    ) -> None:
        self._outbox = outbox
        self._topic = topic
        self._predictor = predictor
        self._rules = rules
        # A name that never comes again: a restarted worker is another one.
        self.worker = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        self._number = 0
        self._turn = asyncio.Lock()

    async def start(self) -> asyncio.Task[None]:
        """Return when Kafka has what the worker begins with."""
        await self._write("start")
        self._task = asyncio.create_task(self._sign_for_ever(), name="ledger")
        return self._task

    async def stop(self) -> None:
        await end(self._task)
        await self._send(Sign(self.worker, utc_now(), ended=True))

    async def model(self, predictor: Predictor) -> None:
        """Return when Kafka has it: the caller then takes the model over."""
        self._predictor = predictor
        await self._write("model")

    async def rules(self, rules: RuleFile) -> None:
        """Return when Kafka has it: the caller then judges by the rules."""
        self._rules = rules
        await self._write("rules")

    async def _write(self, cause: Cause) -> None:
        # One at a time, so that numbers and times have the same order.
        async with self._turn:
            self._number += 1
            rules = self._rules
            self._present = (
                RulesText(rules.version, rules.text),
                Entry(
                    worker=self.worker,
                    number=self._number,
                    at=utc_now(),
                    cause=cause,
                    model=self._predictor.version,
                    rules=rules.version,
                    rules_from=rules.where,
                    runs_on=self._predictor.description,
                ),
            )
            await self._send(*self._present)

    async def _sign_for_ever(self) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(SIGN_EVERY_S)
            await self._send(Sign(self.worker, utc_now()))
            if number % SIGNS_A_DAY == 0:
                # Kafka counts the days from the last time that it was written.
                async with self._turn:
                    await self._send(*self._present)

    async def _send(self, *records: Entry | Sign | RulesText) -> None:
        for record in records:  # one by one: an entry must not overtake the rules it names
            await self._outbox.send([Outgoing(self._topic, record.key, encode(record))])
