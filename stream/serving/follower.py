"""Follows the registry: loads a new champion and swaps it in, and runs a challenger in shadow.

The topic of announcements only says when to look; which version is champion is read from the
registry, so a lost, late or repeated announcement does no harm.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer

from models.spec import Predictor
from stream.connections.clients import stop_consumer
from stream.runtime.heap import give_back
from stream.runtime.tasks import end
from stream.serving.refusal import Refusal

logger = logging.getLogger(__name__)

POLL_MS = 500
# An announcement that never came: someone moved the alias while Kafka was away.
LOOK_ANYWAY_S = 60.0
RETRY_S = 5.0


class Champions(Protocol):
    """Where champion and challenger are found. Every method blocks."""

    def version(self) -> str | None:
        """The champion's version now; None before there is one. Raises ModelError."""
        ...

    def challenger(self) -> str | None:
        """The version in shadow now; None without one."""
        ...

    def stamp(self, version: str) -> str:
        """What changes when the version's files do."""
        ...

    def load(self, version: str, beside: Predictor) -> Predictor:
        """That version, warm, sharing what it can with the running one. Raises ModelError."""
        ...


class Follower:
    """Keeps the running model the champion. start() and stop() frame its use, on one event loop.

    swap takes the new predictor over, and raises RuleError when the rules can't be judged by it.
    shadow puts a challenger beside the running model, or takes it away with None. refused tells of
    a champion that can't be served; whoever changes what swap looks at calls its try_again().
    """

    def __init__(
        self,
        champions: Champions,
        *,
        kafka: Mapping[str, Any],
        topic: str,
        running: Callable[[], Predictor],
        swap: Callable[[Predictor], Awaitable[None]],
        shadow: Callable[[Predictor | None], None],
        refused: Refusal,
    ) -> None:
        self._champions = champions
        self._running = running
        self._swap = swap
        self._shadow = shadow
        self._refused = refused
        self._refused_challenger = Refusal()
        self._in_shadow: str | None = None
        self._replaced = False
        self._consumer = AIOKafkaConsumer(
            topic, enable_auto_commit=False, auto_offset_reset="latest", **kafka
        )

    async def start(self) -> asyncio.Task[None]:
        """What it does from now on. Raises KafkaError when no broker answers."""
        await self._consumer.start()
        self._task = asyncio.create_task(self._follow(), name="follower")
        return self._task

    async def stop(self) -> None:
        await end(self._task)
        await stop_consumer(self._consumer)

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        look_at = 0.0
        while True:
            try:
                heard = await self._consumer.getmany(timeout_ms=POLL_MS)
                if self._replaced:
                    # A poll later, when the model threads have let go of the old one.
                    self._replaced = False
                    await asyncio.to_thread(give_back)
                if heard:
                    self._refused.try_again()
                    self._refused_challenger.try_again()
                now = loop.time()
                if heard or now >= look_at:
                    look_at = now + LOOK_ANYWAY_S
                    await self._look(now)
                    await self._look_at_challenger(now)
            except Exception as error:  # noqa: BLE001 - a store raises what it likes
                # The running model goes on, and whoever takes a champion back must be heard.
                kind = type(error).__name__
                logger.error("the champion is not served: %s (%s)", error, kind)  # noqa: TRY400
                await asyncio.sleep(RETRY_S)

    async def _look(self, now: float) -> None:
        version = await asyncio.to_thread(self._champions.version)
        running = self._running()
        if version is None or version == running.version:
            self._refused.forget()
            return
        stamp = await asyncio.to_thread(self._champions.stamp, version)
        if self._refused.stands(version, stamp, now):
            return
        try:
            fresh = await asyncio.to_thread(self._champions.load, version, running)
            await self._swap(fresh)
        except Exception as error:  # noqa: BLE001 - a device raises what it likes
            # The running model goes on; a champion that can't be served must not end it.
            said = self._refused.note(version, stamp, error, now)
            logger.error("the champion is not served: %s", said)  # noqa: TRY400
            return
        self._refused.forget()
        logger.info("model %s takes over from %s", fresh.version, running.version)
        self._replaced = True

    async def _look_at_challenger(self, now: float) -> None:
        running = self._running()
        version = await asyncio.to_thread(self._champions.challenger)
        wanted = None if version == running.version else version
        if wanted == self._in_shadow:
            return
        self._in_shadow = None
        self._shadow(None)
        if wanted is None:
            logger.info("no challenger in shadow any more")
            return
        stamp = await asyncio.to_thread(self._champions.stamp, wanted)
        if self._refused_challenger.stands(wanted, stamp, now):
            return
        try:
            challenger = await asyncio.to_thread(self._champions.load, wanted, running)
        except Exception as error:  # noqa: BLE001 - as above
            # Nothing depends on it.
            said = self._refused_challenger.note(wanted, stamp, error, now)
            logger.warning("the challenger is not run in shadow: %s", said)
            return
        self._shadow(challenger)
        self._in_shadow = wanted
        logger.info("challenger %s runs in shadow of %s", wanted, running.version)
