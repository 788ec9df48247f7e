"""Everything on embedded parts in one process: plays a feed through a worker and sums it up."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from itertools import islice
from pathlib import Path

import msgspec
from rich.console import Console, RenderableType
from rich.live import Live

from models.spec import Predictor
from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, open_outbox
from stream.connections.topics import wanted_topics
from stream.demo.embedded import EmbeddedBroker, EmbeddedRedis
from stream.demo.feed import feed_until
from stream.demo.lesson import Lesson, Parts
from stream.demo.trainer_process import classroom, trainer_beside
from stream.demo.view import render
from stream.files.lines import read_lines
from stream.files.publish import Addresser, publish
from stream.processing.telemetry import Latency, Telemetry
from stream.records import utc_now
from stream.runtime.errors import StartError
from stream.worker.app import Worker

FEED_RATE = 25.0
# The embedded broker keeps records in memory, and a latency is only worth reading if the queue in
# front of the model is short: the publisher stays this many records ahead at most.
LINES_AHEAD = 128
FRAMES_PER_SECOND = 4
POLL_S = 0.02
ASSIGNMENT_DEADLINE_S = 60.0


class Plan(msgspec.Struct, frozen=True):
    """What to play and when to end. With until_stopped the demo goes on after the input."""

    inputs: Sequence[Path] = ()
    max_events: int | None = None
    seconds: float | None = None
    rate: float | None = None
    until_stopped: bool = False
    show: bool = False


class Summary(msgspec.Struct, frozen=True):
    """What the demo did. latency_ms runs from a record's Kafka timestamp to all confirmations."""

    published: int
    scored: int
    copies: int
    dead_letters: int
    alerts: int
    routed: int
    reviewed: int
    events_per_second: float
    latency_ms: Latency
    model: str
    alerts_by_source: dict[str, int]
    dead_letters_by_reason: dict[str, int]
    queues: dict[str, int]


async def run_demo(  # noqa: PLR0917 - what a demo is made of
    settings: Settings,
    predictor: Predictor,
    plan: Plan,
    stop: asyncio.Event,
    console: Callable[[Settings], AbstractAsyncContextManager[str]] | None,
    lesson: Parts | None = None,
) -> Summary:
    """Play plan until it ends or stop is set. Raises what Worker and publish raise.

    console serves the web console for settings while its context lasts, and gives its address.
    With lesson a trainer runs beside, and the lesson follows the input.
    """
    with EmbeddedBroker() as broker, EmbeddedRedis() as redis, contextlib.ExitStack() as folders:
        settings = settings.model_copy(
            update={
                "kafka": settings.kafka.model_copy(update={"bootstrap": broker.bootstrap}),
                "redis": settings.redis.model_copy(update={"url": redis.url}),
            }
        )
        if lesson:
            settings = folders.enter_context(classroom(settings))
        _say(f"embedded broker: {broker.kind}; embedded Redis: {redis.kind}")
        places = f"BELLWETHER_KAFKA__BOOTSTRAP={broker.bootstrap} BELLWETHER_REDIS__URL={redis.url}"
        _say(f"for other commands: export {places}")
        broker.create_topics(sorted(wanted_topics(settings)))
        worker = Worker(settings, predictor, lesson.champions(settings) if lesson else None)
        await worker.start()
        _say(f"model {predictor.description}")
        # Records published before the group has formed would show its forming as their latency.
        async with asyncio.timeout(ASSIGNMENT_DEADLINE_S):
            while not worker.assigned:  # noqa: ASYNC110 - Faust offers nothing to wait on
                await asyncio.sleep(POLL_S)
        player = _Player(settings, plan, worker.telemetry)
        try:
            async with contextlib.AsyncExitStack() as stack:
                if console:
                    await _open(stack, console(settings))
                told: Lesson | None = None
                if lesson:
                    trainer = await stack.enter_async_context(trainer_beside(settings))
                    told = Lesson(settings, worker, trainer, lesson, say=_say)
                await _play(worker, player, told, plan, stop)
        finally:
            drained = await worker.stop()
        if not drained:
            raise StartError("the demo did not drain in time; see the log above")
        return _summary(player, worker)


async def _open(
    stack: contextlib.AsyncExitStack, console: AbstractAsyncContextManager[str]
) -> None:
    try:
        _say(f"console at {await stack.enter_async_context(console)}")
    except StartError as error:
        # Most likely a console runs there already; the demo is worth seeing without one.
        _say(f"no console: {error}")


class _Player:
    """Publishes the input and knows how far it got."""

    def __init__(self, settings: Settings, plan: Plan, telemetry: Telemetry) -> None:
        self._settings = settings
        self._plan = plan
        self._telemetry = telemetry
        self.published = 0
        # Lines that are a dead letter before they reach the stream; see Addresser.
        self.refused = 0
        self.done = False

    @property
    def under_way(self) -> int:
        """Lines published whose outputs are not all confirmed yet."""
        return self.published - self.refused - self._telemetry.settled

    async def play(self, lesson: Lesson | None) -> None:
        await self._play_input()
        if lesson:
            await lesson.teach(self.count)
        while self.under_way:  # noqa: ASYNC110 - counters are read, not waited for
            await asyncio.sleep(POLL_S)
        self.done = True

    async def _play_input(self) -> None:
        async with open_outbox(self._settings.kafka) as outbox:
            await publish(
                self._lines(),
                addresser=Addresser(self._settings),
                outbox=outbox,
                rate=self._plan.rate,
                published=self.count,
                room=lambda: LINES_AHEAD - self.under_way,
            )

    def _lines(self) -> Iterator[tuple[Path, int, bytes]]:
        inputs = self._plan.inputs
        return islice(
            read_lines(inputs) if inputs else feed_until(utc_now()), self._plan.max_events
        )

    def count(self, outgoing: Sequence[Outgoing]) -> None:
        self.published += len(outgoing)
        dead_letter = self._settings.topics.dead_letter
        self.refused += sum(record.topic == dead_letter for record in outgoing)


async def _play(
    worker: Worker, player: _Player, lesson: Lesson | None, plan: Plan, stop: asyncio.Event
) -> None:
    """Publish, show and watch the worker until the first of: input done, time up, stop."""
    running = asyncio.create_task(worker.run(stop))
    playing = asyncio.create_task(player.play(lesson))
    began = time.monotonic()
    with _frames(worker, player, plan) as show:
        while not running.done():
            if playing.done():
                playing.result()
                if not plan.until_stopped:
                    break
            if plan.seconds is not None and time.monotonic() - began >= plan.seconds:
                break
            show()
            await asyncio.wait(
                {running} if playing.done() else {running, playing},
                timeout=1 / FRAMES_PER_SECOND,
                return_when=asyncio.FIRST_COMPLETED,
            )
        show()
    playing.cancel()
    running.cancel()
    for task in await asyncio.gather(running, playing, return_exceptions=True):
        if isinstance(task, Exception):
            raise task


@contextlib.contextmanager
def _frames(worker: Worker, player: _Player, plan: Plan) -> Iterator[Callable[[], None]]:
    """A function that shows the present state: a live view, or nothing for machines."""
    if not plan.show:
        yield lambda: None
        return

    def frame() -> RenderableType:
        note = "input done, Ctrl-C ends" if player.done and plan.until_stopped else "Ctrl-C ends"
        return render(
            worker.telemetry,
            worker.pipeline.batcher.statistics(),
            published=player.published,
            note=note,
        )

    with Live(frame(), console=Console(stderr=True), auto_refresh=False) as live:
        yield lambda: live.update(frame(), refresh=True)


def _summary(player: _Player, worker: Worker) -> Summary:
    telemetry = worker.telemetry
    reasons = dict(telemetry.dead_letters)
    if player.refused:
        reasons["unknown_source"] = player.refused
    return Summary(
        published=player.published,
        scored=telemetry.scored,
        copies=telemetry.copies,
        dead_letters=sum(reasons.values()),
        alerts=telemetry.alerts.total(),
        routed=telemetry.routed,
        reviewed=telemetry.reviewed,
        events_per_second=round(telemetry.events_per_second, 1),
        latency_ms=telemetry.latency(),
        model=worker.predictor.version,
        alerts_by_source=dict(telemetry.alerts_by_source),
        dead_letters_by_reason=reasons,
        queues=dict(telemetry.queues),
    )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
