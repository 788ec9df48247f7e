"""Fits and their verdicts, and the labels that the last one doubted, in the label log's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from trainer.labels.migrations import add_missing_column
from trainer.labels.settlement import Label, Settled
from trainer.schedule import Speed

TABLES = """
CREATE TABLE IF NOT EXISTS attempts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT, fingerprint TEXT, labels INTEGER,
    verdict TEXT, speed TEXT);
CREATE TABLE IF NOT EXISTS suspects (
    head TEXT, label TEXT, event_id TEXT, authors TEXT, text TEXT);
CREATE TABLE IF NOT EXISTS begun (fit TEXT PRIMARY KEY, times INTEGER);
"""
INSERT = "INSERT INTO attempts (time, fingerprint, labels, verdict, speed) VALUES (?, ?, ?, ?, ?)"
# In the place of a fit's speed: no fit, but a verdict on whom somebody made champion.
BY_HAND = "by hand"


class Attempts:
    """Remembered so that a restart does not try the same labels again."""

    def __init__(
        self, db: sqlite3.Connection, writing: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Writing frames a transaction of the file."""
        self._db, self._writing = db, writing
        db.executescript(TABLES)
        add_missing_column(db, "attempts", "speed", "TEXT DEFAULT 'fast'")

    def begin(self, fit: str) -> None:
        """A fit that has this name."""
        with self._writing():
            self._db.execute("DELETE FROM begun WHERE fit != ?", (fit,))
            self._db.execute(
                "INSERT INTO begun VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
                (fit,),
            )

    def times_begun(self, fit: str) -> int:
        """How often that fit was begun last, and did not end."""
        row = self._db.execute("SELECT times FROM begun WHERE fit = ?", (fit,)).fetchone()
        return int(row[0]) if row else 0

    def end(self) -> None:
        """Of what was begun, with a challenger or as somebody asked for it."""
        with self._writing():
            self._db.execute("DELETE FROM begun")

    def note(
        self,
        settled: Settled,
        suspects: Sequence[Label] | None,
        verdict: str,
        now: datetime,
        speed: Speed = "fast",
    ) -> None:
        """Suspects are labels that contradict the others, the worst first; they replace the last.

        None where the fit was not done, and so none was looked for.
        """
        row = (now.isoformat(), settled.fingerprint, len(settled.labels), verdict, speed)
        with self._writing():
            self._db.execute(INSERT, row)
            self._db.execute("DELETE FROM begun")
            if suspects is None:
                return
            self._db.execute("DELETE FROM suspects")
            self._db.executemany(
                "INSERT INTO suspects VALUES (?, ?, ?, ?, ?)",
                (
                    (one.head, one.label, one.event_id, ", ".join(one.authors), one.text)
                    for one in suspects
                ),
            )

    def note_end_of_shadow(self, training: Mapping[str, Any], verdict: str, now: datetime) -> None:
        """The second verdict on a version's labels; training is its checkpoint's."""
        of = (training["labels_fingerprint"], training["labels"])
        with self._writing():
            self._db.execute(INSERT, (now.isoformat(), *of, verdict, training.get("speed", "fast")))

    def note_by_hand(self, settled: Settled, verdict: str, now: datetime) -> None:
        """The verdict, by these labels, on a version that somebody promoted."""
        row = (now.isoformat(), settled.fingerprint, len(settled.labels), verdict, BY_HAND)
        with self._writing():
            self._db.execute(INSERT, row)

    def suspects(self) -> list[dict[str, str]]:
        """The labels that contradicted the others at the last attempt, the worst first."""
        return _by_column(
            self._db.execute(
                "SELECT head, label, event_id, authors, text FROM suspects ORDER BY rowid"
            )
        )

    def last(self) -> tuple[str, int]:
        """(fingerprint, labels) of the last attempt, ("", 0) before the first."""
        row = self._db.execute(
            "SELECT fingerprint, labels FROM attempts WHERE speed != ? "
            "ORDER BY number DESC LIMIT 1",
            (BY_HAND,),
        ).fetchone()
        return (str(row[0]), int(row[1])) if row else ("", 0)

    def labels_of_last_deep(self) -> int:
        """How many labels the last deep attempt knew, 0 before the first.

        Fewer where there were fewer since, as without a head: those that come then are new.
        """
        (labels,) = self._db.execute(
            "SELECT MIN(labels) FROM attempts "
            "WHERE number >= (SELECT MAX(number) FROM attempts WHERE speed = 'deep')"
        ).fetchone()
        return labels or 0

    def deep_or_first_at(self) -> datetime | None:
        """When the last deep attempt was; before one, when the first attempt was, None without."""
        row = self._db.execute(
            "SELECT COALESCE("
            "(SELECT time FROM attempts WHERE speed = 'deep' ORDER BY number DESC LIMIT 1), "
            "(SELECT time FROM attempts WHERE speed != ? ORDER BY number LIMIT 1))",
            (BY_HAND,),
        ).fetchone()
        return datetime.fromisoformat(row[0]) if row[0] else None

    def latest(self, most: int) -> list[dict[str, Any]]:
        """The latest attempts with their verdicts, the latest first."""
        return _by_column(
            self._db.execute(
                "SELECT time, labels, fingerprint AS labels_fingerprint, verdict, speed "
                "FROM attempts ORDER BY number DESC LIMIT ?",
                (most,),
            )
        )


def _by_column(rows: sqlite3.Cursor) -> list[dict[str, Any]]:
    names = [name for name, *_ in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows]
