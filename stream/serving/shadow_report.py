"""Counts the answers of a challenger in shadow and sends them to the trainer, best effort."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from models.shadow import Answered
from stream.connections.outbox import Outgoing, RecordSink
from stream.ingest.readable import why_unreadable
from stream.names import SourceKind
from stream.processing.telemetry import Telemetry
from stream.records import Event, Shadowed, TwoAnswers, encode, model_text
from stream.runtime.tasks import end

# Answers that Kafka has not taken yet; beyond them new ones are dropped, they are only a sample.
MOST_UNSENT = 2_000


class ShadowReport:
    """Sends answers in shadow on. start() and stop() frame its use, on one event loop."""

    def __init__(self, outbox: RecordSink, topic: str, telemetry: Telemetry) -> None:
        self._outbox = outbox
        self._topic = topic
        self._telemetry = telemetry
        self._loop = asyncio.get_running_loop()
        self._unsent: list[Outgoing] = []
        self._any_unsent = asyncio.Event()

    def start(self) -> asyncio.Task[None]:
        self._task = self._loop.create_task(self._send_for_ever(), name="shadow")
        return self._task

    async def stop(self) -> None:
        await end(self._task)

    def take_from_model_thread(self, answers: Sequence[Answered]) -> None:
        self._loop.call_soon_threadsafe(self._take, answers)

    def _take(self, answers: Sequence[Answered]) -> None:
        for answer in answers:
            record = side_by_side(answer)
            for head, two in record.heads.items():
                agrees = "yes" if two.champion == two.challenger else "no"
                self._telemetry.shadow[record.challenger, head, agrees] += 1
            if len(self._unsent) < MOST_UNSENT:
                self._unsent.append(Outgoing(self._topic, record.id.encode(), encode(record)))
        self._any_unsent.set()

    async def _send_for_ever(self) -> None:
        while True:
            await self._any_unsent.wait()
            self._any_unsent.clear()
            batch, self._unsent = self._unsent, []
            await self._outbox.send(batch)


def can_read(event: Event, languages: Sequence[str]) -> bool:
    """Whether the answers mean anything; where both models guess, they differ by chance."""
    return not why_unreadable(model_text(event.title, event.text), event.lang, languages)


def side_by_side(answer: Answered) -> Shadowed:
    """The heads that both models have."""
    return Shadowed(
        id=answer.id,
        # The pipeline's kinds are the sources'.
        source=cast("SourceKind", answer.kind),
        champion=answer.champion,
        challenger=answer.challenger,
        heads={
            name: TwoAnswers(said.label, said.confidence, other.label, other.confidence)
            for name, said in answer.said.items()
            if (other := answer.would_say.get(name))
        },
    )
