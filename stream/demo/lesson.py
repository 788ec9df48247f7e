"""The learning loop as the demo tells it: people label a new kind of ticket, the live model learns.

The trainer is the real one. What it must not take is refused, and what it did not ask for taken
back.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import orjson
from aiokafka import AIOKafkaConsumer

from models.registry import Alias
from stream.config.settings import Settings
from stream.connections.clients import kafka_arguments, stop_consumer
from stream.connections.outbox import Outbox, Outgoing, open_outbox
from stream.demo.lesson_tickets import LABEL, tickets
from stream.demo.trainer_process import LABELLED, Trainer
from stream.records import Feedback, Scored, decode_scored, encode, utc_now
from stream.runtime.errors import StartError
from stream.runtime.tasks import end
from stream.serving.champions import announcement
from stream.serving.follower import Champions
from stream.worker.app import Worker

HEAD = "topic"
WRONG_LABEL = "billing_fees"
POLL_S = 0.05
POLL_MS = 200
# A cold machine may take a minute to start the trainer; a fit takes seconds.
DEADLINE_S = 240.0

Say = Callable[[str], None]
Sent = Callable[[Sequence[Outgoing]], None]


class Parts(msgspec.Struct, frozen=True):
    """What the lesson needs of layers that the demo does not know.

    champions follows the registry of the settings; verdicts are the trainer's, the latest first;
    history says why each champion came, the latest last; spoil makes a bad version champion.
    """

    champions: Callable[[Settings], Champions]
    verdicts: Callable[[Settings], Sequence[str]]
    history: Callable[[Settings], Sequence[Alias]]
    spoil: Callable[[Settings], Alias]


class Lesson:
    """Forty tickets, forty labels, forty more tickets, wrong labels, and a bad version by hand."""

    def __init__(
        self, settings: Settings, worker: Worker, trainer: Trainer, parts: Parts, *, say: Say
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._trainer = trainer
        self._parts = parts
        self._champions = parts.champions(settings)
        self._say = say
        self._topic = next(one.topic for one in settings.sources if one.kind == "ticket")
        self._scored: dict[str, Scored] = {}
        self._seen: Counter[str] = Counter()

    async def teach(self, sent: Sent) -> None:
        """Tell the story; sent hears of each confirmed batch of tickets.

        Raises StartError when the trainer ends, or a step takes more than DEADLINE_S.
        """
        kafka = self._settings.kafka
        async with open_outbox(kafka) as outbox:
            consumer = AIOKafkaConsumer(
                self._settings.topics.scored,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                **kafka_arguments(kafka),
            )
            await consumer.start()
            reading = asyncio.create_task(self._read(consumer))
            try:
                await self._story(outbox, sent)
            finally:
                await end(reading)
                await stop_consumer(consumer)

    async def _story(self, outbox: Outbox, sent: Sent) -> None:
        texts = tickets()
        # The last one is seen before and after, and nobody labels it in between.
        first = {f"lesson-{n}": text for n, text in enumerate(texts[:LABELLED])}
        later = {f"lesson-{n}": text for n, text in enumerate(texts[LABELLED:], LABELLED)}
        untold = {"lesson-before": texts[-1]}
        await self._until(lambda: bool(self._champion()), "the trainer to start")
        old = self._worker.predictor.version
        await self._publish(outbox, first | untold, sent)
        self._say(f"lesson: {len(first)} tickets of a kind that the model was never taught")
        self._tell("before", "lesson-before", first)

        began = time.monotonic()
        await self._label(outbox, dict.fromkeys(first, LABEL), "ann")
        self._say(
            f"lesson: ann labels these {len(first)} as {LABEL}; the trainer learns and judges"
        )
        await self._until(lambda: len(self._verdicts()) == 1, "the first verdict")
        self._say(f"lesson: {self._verdicts()[0]}")
        if self._champion() == old:
            self._say(f"lesson: so {old} goes on")
            return
        await self._until(lambda: self._worker.predictor.version != old, "the swap")
        new = self._worker.predictor.version
        took_s = time.monotonic() - began
        self._say(f"lesson: {took_s:.1f} s after the labels, {new} has taken over from {old}")
        await self._publish(outbox, later, sent)
        self._tell("after", f"lesson-{len(texts) - 1}", later)
        asked = [*first, *untold, *later]
        once = sum(self._seen[one] == 1 for one in asked)
        self._say(f"lesson: {once} of {len(asked)} tickets were scored exactly once")

        # One in five of all labels: two in five of these.
        said = {one: WRONG_LABEL if n % 5 in {3, 4} else LABEL for n, one in enumerate(later)}
        await self._label(outbox, said, "mallory")
        wrong = sum(label == WRONG_LABEL for label in said.values())
        self._say(f"lesson: mallory labels the later {len(said)}, {wrong} of them wrongly")
        await self._until(lambda: len(self._verdicts()) > 1, "the second verdict")
        self._say(f"lesson: {self._verdicts()[0]}")
        await self._insist(outbox, new)
        self._say(f"lesson: the champion is {self._champion()}")

    async def _insist(self, outbox: Outbox, good: str) -> None:
        """Somebody makes a bad version champion, past the gate."""
        forced = await asyncio.to_thread(self._parts.spoil, self._settings)
        await outbox.send([announcement(self._settings.topics, forced)])
        self._say(f"lesson: {forced.by} makes {forced.version} champion: {forced.why}")
        await self._until(lambda: self._champion() == good, "the bad version to be taken back")
        back = (await asyncio.to_thread(self._parts.history, self._settings))[-1]
        taken_s = (back.since - forced.since).total_seconds()
        first, *others = back.why.split("; ")
        more = f", and {len(others)} more reasons" if others else ""
        self._say(f"lesson: after {taken_s:.1f} s {first}{more}")
        await self._until(lambda: self._worker.predictor.version == good, "the swap back")

    def _tell(self, when: str, shown: str, events: dict[str, str]) -> None:
        scored = self._scored[shown]
        answer = scored.heads[HEAD]
        right = sum(self._scored[one].heads[HEAD].label == LABEL for one in events)
        versions = ", ".join(sorted({self._scored[one].model for one in events}))
        self._say(
            f"{when}: “{scored.text}” is {answer.label} ({answer.confidence:.2f}); "
            f"{right} of {len(events)} are {LABEL}, by {versions}"
        )

    async def _publish(self, outbox: Outbox, texts: dict[str, str], sent: Sent) -> None:
        """Return when every ticket is back from the scored topic."""
        outgoing = [
            Outgoing(self._topic, one.encode(), orjson.dumps({"id": one, "text": text}))
            for one, text in texts.items()
        ]
        await outbox.send(outgoing)
        sent(outgoing)
        await self._until(lambda: texts.keys() <= self._scored.keys(), "the scored tickets")

    async def _label(self, outbox: Outbox, labels: dict[str, str], author: str) -> None:
        topic, now = self._settings.topics.feedback, utc_now()
        said = [
            Feedback(
                id=f"{author}-{one}",
                event_id=one,
                head=HEAD,
                label=label,
                author=author,
                time=now,
            )
            for one, label in labels.items()
        ]
        await outbox.send([Outgoing(topic, one.event_id.encode(), encode(one)) for one in said])

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    scored = decode_scored(record.value or b"")
                    if scored.id.startswith("lesson-"):
                        self._scored[scored.id] = scored
                        self._seen[scored.id] += 1

    def _verdicts(self) -> Sequence[str]:
        return self._parts.verdicts(self._settings)

    def _champion(self) -> str | None:
        return self._champions.version()

    async def _until(self, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not await asyncio.to_thread(reached):
            self._trainer.check()
            if time.monotonic() > deadline:
                raise StartError(f"the demo's lesson waited {DEADLINE_S:.0f} s for {what}")
            await asyncio.sleep(POLL_S)
