"""The rules a worker judges by: loaded at the start, and again whenever their file changes."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from models.spec import Head
from stream.rules.conditions import RuleError
from stream.rules.rule_file import RuleFile, read_rule_file
from stream.rules.rule_set import RuleSet
from stream.settings import Settings
from stream.tasks import end

LOOK_EVERY_S = 1.0

logger = logging.getLogger(__name__)


class LiveRules:
    """present are the rules in force, as file says them.

    A file that can't be used leaves the old ones in force.
    """

    def __init__(self, settings: Settings, heads: Sequence[Head]) -> None:
        """Raises RuleError."""
        self._settings = settings
        self._heads = heads
        self._path = settings.alerting.rules
        self._stamp = self._seen = _stamp(self._path)
        self._digest = _digest(self._path)
        self.file, self.present = self._load(heads)

    def check(self, heads: Sequence[Head]) -> None:
        """Whether the rules can be judged by a model with these heads, which then count.

        Raises RuleError naming the rule that can't.
        """
        self._load(heads)
        self._heads = heads

    def start(self, take: Callable[[RuleSet], Awaitable[None]]) -> None:
        """Look at the file from now on; take gets the new rules on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._follow(take), name="rules")

    async def stop(self) -> None:
        await end(self._task)

    async def _follow(self, take: Callable[[RuleSet], Awaitable[None]]) -> None:
        while self._path is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            if await asyncio.to_thread(self.look):
                await take(self.present)

    def look(self) -> bool:
        """Whether present was replaced. A content that is refused is refused once."""
        stamp = _stamp(self._path)
        # Half a file may be good TOML, with half of the rules: only one at rest is read.
        rests, self._seen = stamp == self._seen, stamp
        if not rests or stamp == self._stamp:
            return False
        digest = _digest(self._path)
        self._stamp = stamp
        if digest == self._digest:
            return False
        self._digest = digest
        try:
            file, rules = self._load(self._heads)
        except RuleError as error:
            for fault in error.faults:
                logger.warning("the old rules stay in force: %s", fault)
            return False
        rules.succeed(self.present)
        self.file, self.present = file, rules
        logger.info("%d rules from %s are in force", len(rules), self._path)
        return True

    def _load(self, heads: Sequence[Head]) -> tuple[RuleFile, RuleSet]:
        file = read_rule_file(self._path, tuple(self._settings.subjects.fields))
        rules = RuleSet.of(
            file,
            heads,
            signals=self._settings.signals,
            clock=time.perf_counter,
            slow_s=self._settings.alerting.slow_rule_ms / 1_000,
        )
        return file, rules


def _stamp(path: Path | None) -> tuple[int, int] | None:
    """What tells cheaply that a file may have changed; None for one that is not there."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _digest(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
