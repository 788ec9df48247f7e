"""What champion and challenger answered side by side, kept in the label log's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from stream.records import Shadowed
from trainer.labels.question import Question
from trainer.promotion.probation import Agreement

TABLE = """
CREATE TABLE IF NOT EXISTS shadow (
    challenger TEXT, event_id TEXT, source TEXT, head TEXT,
    champion_says TEXT, confidence REAL, challenger_says TEXT,
    PRIMARY KEY (challenger, event_id, source, head));
"""

# The latest of each head with a text that is known and that the model can read.
DIFFERENCES = """
SELECT head, event_id, source, text, champion_says, confidence, challenger_says FROM (
    SELECT shadow.*, events.text AS text,
        row_number() OVER (PARTITION BY head ORDER BY shadow.rowid DESC) AS place
    FROM shadow JOIN events ON events.id = event_id AND events.source = shadow.source
    WHERE champion_says <> challenger_says AND events.unreadable = '')
WHERE place <= ? ORDER BY head, place
"""


# Counted as they come: what was counted once is not read again.
INSERT = (
    "INSERT OR IGNORE INTO shadow VALUES (?, ?, ?, ?, ?, ?, ?) "
    "RETURNING challenger, head, champion_says <> challenger_says"
)


class ShadowAnswers:
    """The answers of one challenger, each event's once however often it is read."""

    def __init__(
        self, db: sqlite3.Connection, writing: Callable[[], AbstractContextManager[None]]
    ) -> None:
        """Writing frames a transaction of the file."""
        self._db, self._writing = db, writing
        db.executescript(TABLE)
        self._counts: dict[str, dict[str, Agreement]] | None = None

    def append(self, answers: Sequence[Shadowed]) -> None:
        counts = self._counted()
        rows = (
            (
                one.challenger,
                one.id,
                one.source,
                head,
                two.champion,
                two.champion_confidence,
                two.challenger,
            )
            for one in answers
            for head, two in one.heads.items()
        )
        with self._writing():
            fresh = [new for row in rows for new in self._db.execute(INSERT, row).fetchall()]
        for challenger, head, differs in fresh:
            by_head = counts.setdefault(challenger, {})
            before = by_head.get(head, Agreement(head, 0, 0))
            by_head[head] = Agreement(head, before.answers + 1, before.differ + differs)

    def keep_only(self, challenger: str) -> None:
        with self._writing():
            self._db.execute("DELETE FROM shadow WHERE challenger <> ?", (challenger,))
        self._counts = None

    def agreements(self) -> dict[str, list[Agreement]]:
        """By challenger, which is the last one that was in shadow."""
        return {
            challenger: [by_head[head] for head in sorted(by_head)]
            for challenger, by_head in self._counted().items()
        }

    def _counted(self) -> dict[str, dict[str, Agreement]]:
        """Of the file, once; append keeps it up."""
        if self._counts is None:
            self._counts = {}
            for challenger, *figures in self._db.execute(
                "SELECT challenger, head, COUNT(*), SUM(champion_says <> challenger_says) "
                "FROM shadow GROUP BY challenger, head"
            ):
                one = Agreement(*figures)
                self._counts.setdefault(challenger, {})[one.head] = one
        return self._counts

    def differences(self, per_head: int) -> list[Question]:
        """Events on which the two differ, by head the latest first."""
        return [
            Question._make((*row, f"the challenger says {other}"))
            for *row, other in self._db.execute(DIFFERENCES, (per_head,))
        ]
