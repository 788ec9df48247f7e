"""The rules a worker judges by: loaded at the start, and again whenever their file changes."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

from models.spec import Head
from stream.config.settings import Settings
from stream.rules.rule_error import RuleError
from stream.rules.rule_file import RuleFile, forgotten_cooldowns, read_rule_file
from stream.rules.rule_set import RuleSet
from stream.runtime.tasks import end
from stream.runtime.watched_file import WatchedFile

logger = logging.getLogger(__name__)


class LiveRules:
    """present are the rules in force, as file says them.

    A file that can't be used leaves the old ones in force.
    """

    def __init__(self, settings: Settings, heads: Sequence[Head]) -> None:
        """Raises RuleError."""
        self._settings = settings
        self._heads = heads
        # Else a new file and a new model could each be found right beside what the other replaces.
        self._turn = threading.Lock()
        path = settings.alerting.rules
        self._watched = WatchedFile(path) if path else None
        self.file, self.present = self._load(heads)
        self._warn()

    def check(self, heads: Sequence[Head]) -> None:
        """Whether the rules in force can be judged by a model with these heads, which then count.

        Raises RuleError naming the rule that can't.
        """
        with self._turn:
            self._compile(self.file, heads)
            self._heads = heads

    def start(self, take: Callable[[RuleSet], Awaitable[None]]) -> asyncio.Task[None]:
        """Look at the file from now on; take gets the new rules on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._follow(take), name="rules")
        return self._task

    async def stop(self) -> None:
        await end(self._task)

    async def _follow(self, take: Callable[[RuleSet], Awaitable[None]]) -> None:
        if self._watched:
            async for _ in self._watched.changes():
                if await asyncio.to_thread(self._read):
                    await take(self.present)

    def _read(self) -> bool:
        """Whether present was replaced; the log says what was wrong where it was not."""
        with self._turn:
            try:
                file, rules = self._load(self._heads)
            except RuleError as error:
                for fault in error.faults:
                    logger.warning("the old rules stay in force: %s", fault)
                return False
            rules.succeed(self.present)
            self.file, self.present = file, rules
            self._warn()
        logger.info("%d rules from %s are in force", len(rules), file.where)
        return True

    def _load(self, heads: Sequence[Head]) -> tuple[RuleFile, RuleSet]:
        file = read_rule_file(self._settings.alerting.rules, self._settings.subjects.fields)
        return file, self._compile(file, heads)

    def _warn(self) -> None:
        for warning in forgotten_cooldowns(self.file, self._settings.alerting.keep_s):
            logger.warning("%s", warning)

    def _compile(self, file: RuleFile, heads: Sequence[Head]) -> RuleSet:
        return RuleSet(
            file.rules,
            heads,
            signals=self._settings.signals,
            clock=time.perf_counter,
            slow_s=self._settings.alerting.slow_rule_ms / 1_000,
        )
