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

    def load(self, version: str, beside: Predictor) -> Predictor:
        """That version, warm, sharing what it can with the running one. Raises ModelError."""
        ...


class Follower:
    """Keeps the running model the champion. start() and stop() frame its use, on one event loop.

    swap takes the new predictor over, and raises RuleError when the rules can't be judged by it.
    shadow puts a challenger beside the running model, or takes it away with None.
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
    ) -> None:
        self._champions = champions
        self._running = running
        self._swap = swap
        self._shadow = shadow
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
                if heard or loop.time() >= look_at:
                    look_at = loop.time() + LOOK_ANYWAY_S
                    await self._look()
                    await self._look_at_challenger()
            except Exception as error:  # noqa: BLE001 - a device or a store raises what it likes
                # The running model goes on; a champion that can't be served must not end it, and
                # whoever takes that champion back must be heard.
                kind = type(error).__name__
                logger.error("the champion is not served: %s (%s)", error, kind)  # noqa: TRY400
                await asyncio.sleep(RETRY_S)

    async def _look(self) -> None:
        version = await asyncio.to_thread(self._champions.version)
        running = self._running()
        if version is None or version == running.version:
            return
        fresh = await asyncio.to_thread(self._champions.load, version, running)
        await self._swap(fresh)
        logger.info("model %s takes over from %s", fresh.version, running.version)
        self._replaced = True

    async def _look_at_challenger(self) -> None:
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
        try:
            challenger = await asyncio.to_thread(self._champions.load, wanted, running)
        except Exception as error:  # noqa: BLE001 - as above
            # Nothing depends on it; it is tried again at the next look.
            kind = type(error).__name__
            logger.warning("the challenger is not run in shadow: %s (%s)", error, kind)
            return
        self._shadow(challenger)
        self._in_shadow = wanted
        logger.info("challenger %s runs in shadow of %s", wanted, running.version)
