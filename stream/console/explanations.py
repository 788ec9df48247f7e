"""Explanations of alerts, computed one at a time off the event loop, the latest ones cached."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from stream.console.errors import RefusedError
from stream.explain.explanation import ExplainedAlert, ExplainedText
from stream.records import Alert, Evidence

Explain = Callable[[Alert], ExplainedAlert]
"""Blocks; raises ModelError, SettingsError or RuleError."""

REMEMBERED = 64
MOST_WAITING = 8

_Key = tuple[str, str, str]


class Explanations:
    """An explanation is work for whole cores, so nobody's begins beside another's."""

    def __init__(self, explain: Explain) -> None:
        self._explain = explain
        self._remembered: OrderedDict[_Key, ExplainedText] = OrderedDict()
        self._under_way: dict[_Key, asyncio.Task[ExplainedText]] = {}
        self._turn = asyncio.Lock()

    async def of(self, alert: Alert, event: Evidence) -> ExplainedText:
        """What the words of one event of the alert add to what its rule read.

        Raises RefusedError where too many wait already, and whatever explain raises.
        """
        key = (alert.id, event.source, event.event_id)
        if known := self._remembered.get(key):
            self._remembered.move_to_end(key)
            return known
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= MOST_WAITING:
                raise RefusedError(
                    f"{MOST_WAITING} explanations are wanted already; ask again in a moment"
                )
            task = asyncio.create_task(self._make(key, alert, event))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        # Who asked may go away; the thread can't be stopped, and the next reader has the answer.
        return await asyncio.shield(task)

    async def _make(self, key: _Key, alert: Alert, event: Evidence) -> ExplainedText:
        alone = msgspec.structs.replace(alert, evidence=(event,))
        async with self._turn:
            explained = await asyncio.to_thread(self._explain, alone)
        text = explained.events[0].explained
        self._remembered[key] = text
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return text

    def _done(self, key: _Key, task: asyncio.Task[ExplainedText]) -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # looked at, in case nobody waits for it any more
