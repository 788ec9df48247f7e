"""Who tells people by the routing file as it is now: another notifier whenever the file changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from stream.notify.notifier import Notifier
from stream.notify.route_file import RouteError
from stream.notify.routing import Routing
from stream.runtime.tasks import end
from stream.runtime.watched_file import WatchedFile

logger = logging.getLogger(__name__)


class LiveRoutes:
    """start() and stop() frame its use, on one event loop; routing is the one in force.

    A notifier writes down all it knows, so the next one goes on where it stopped. A file that can't
    be used leaves the old one in force.
    """

    def __init__(self, path: Path | None) -> None:
        """None tells nobody. Raises RouteError."""
        self._watched = WatchedFile(path) if path else None
        self.routing = Routing.load(path) if path else None

    def start(self, build: Callable[[Routing | None], Notifier]) -> asyncio.Task[None]:
        """Tell people from now on. Raises RouteError, as build may."""
        self._build = build
        self._notifier = build(self.routing)
        self._notifier.start()
        self._task = asyncio.create_task(self._follow(), name="routes")
        return self._task

    async def stop(self) -> None:
        await end(self._task)
        await self._notifier.stop()

    async def _follow(self) -> None:
        if self._watched is None:
            return
        async for _ in self._watched.changes():
            try:
                routing = await asyncio.to_thread(Routing.load, self._watched.path)
                notifier = self._build(routing)
            except RouteError as error:
                logger.warning("the old routes stay in force: %s", error)
                continue
            await self._notifier.stop()
            self.routing, self._notifier = routing, notifier
            notifier.start()
            logger.info("%d receivers from %s are told", len(routing.receivers), self._watched.path)
