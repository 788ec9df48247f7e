"""Reads the trainer's folder for commands and the console, where it is on this machine."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from stream.config.settings import Settings

if TYPE_CHECKING:
    from stream.console.services import Moved
    from trainer.labels.label_log import LabelLog

T = TypeVar("T")

logger = logging.getLogger(__name__)


class LabelLogFile:
    """stream.console.services.LabelLog over the trainer's folder, where it is on this machine.

    One that can't be read tells nothing: what else a page shows does not depend on it.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.trainer.folder
        self._fault = ""

    def suspects(self) -> list[dict[str, str]]:
        return self._read(lambda log: log.attempts.suspects())

    def attempts(self) -> list[dict[str, Any]]:
        return self._read(lambda log: log.summary()["attempts"])

    def drift(self) -> list[Moved]:
        from stream.console.services import Moved
        from trainer.promotion.drift_file import peek_seen

        seen = peek_seen(self._folder)
        if seen is None:
            return []
        return [
            Moved(
                seen.champion,
                pair.head,
                pair.source,
                pair.missing,
                pair.shifts.get("labels"),
                pair.shifts.get("confidence"),
            )
            for pair in seen.pairs
        ]

    def written(self) -> datetime | None:
        from trainer.labels.label_log import LABELS_FILE

        # The write-ahead log beside the file takes the writes first.
        times = []
        for name in (LABELS_FILE, f"{LABELS_FILE}-wal"):
            # It comes and goes with the trainer's connection.
            with suppress(OSError):
                times.append((self._folder / name).stat().st_mtime)
        return datetime.fromtimestamp(max(times), UTC) if times else None

    def shadow_figures(self, version: str) -> list[str]:
        """By head in words, of that version's time in shadow."""
        return self._read(lambda log: [*map(str, log.shadow.agreements().get(version, []))])

    def _read(self, found: Callable[[LabelLog], list[T]]) -> list[T]:
        from trainer.errors import LabelLogError
        from trainer.labels.label_log import LABELS_FILE, open_to_read

        fault = ""
        try:
            if (self._folder / LABELS_FILE).exists():
                with open_to_read(self._folder) as log:
                    return found(log)
        except (LabelLogError, sqlite3.Error, OSError) as error:
            fault = str(error)
            if fault != self._fault:
                logger.warning("what the trainer knows is not shown: %s", fault)
        finally:
            self._fault = fault
        return []
