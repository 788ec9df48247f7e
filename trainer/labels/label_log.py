"""The label log: feedback as it was accepted, the texts it speaks of, and how far both were read.

One SQLite file, so that a record and the offset behind it are written in one transaction: killed
at any point, the trainer neither loses a label nor takes one twice. Deleted, it is filled again
from the topics.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from models.spec import Head
from stream.records import Feedback
from trainer.errors import LabelLogError
from trainer.labels.attempts import Attempts
from trainer.labels.feedback import Accepted, Text
from trainer.labels.migrations import add_missing_column
from trainer.labels.question import Question
from trainer.labels.settlement import Settled, Settlement
from trainer.labels.shadow_answers import ShadowAnswers

TABLES = """
CREATE TABLE IF NOT EXISTS feedback (
    partition INTEGER, position INTEGER, event_id TEXT, record BLOB,
    PRIMARY KEY (partition, position, record)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS feedback_by_event ON feedback (event_id);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT, source TEXT, text TEXT,
    unreadable TEXT NOT NULL DEFAULT '', UNIQUE (id, source, text));
CREATE TABLE IF NOT EXISTS read_up_to (
    topic TEXT, partition INTEGER, position INTEGER, before INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition));
CREATE TABLE IF NOT EXISTS questions (
    head TEXT, event_id TEXT, source TEXT, text TEXT, label TEXT, confidence REAL, why TEXT);
"""

LABELS_FILE = "labels.sqlite"
SHOWN_ATTEMPTS = 10
# Of one event and head; more come only from a program that says the same for ever. Of each author,
# so that it leaves others their votes; the latest in the order in which settlement takes words.
MOST_OF_AN_AUTHOR = 100
RANKED = """
SELECT partition, position, record, ROW_NUMBER() OVER (
    PARTITION BY event_id, json_extract(record, '$.head'), json_extract(record, '$.author')
    ORDER BY julianday(json_extract(record, '$.time')) DESC, json_extract(record, '$.id') DESC,
        partition DESC, position DESC) AS nth
FROM feedback WHERE event_id IN (SELECT value FROM json_each(?))
"""


class SeenEvent(NamedTuple):
    """An event that ran through the stream, with its text as the model reads it.

    unreadable says why no answer about it would mean anything, "" if the model can read it.
    """

    id: str
    source: str
    text: str
    unreadable: str = ""


class Spoken(NamedTuple):
    """All that was said of one event, and every text that was seen under its id."""

    event_id: str
    accepted: list[Accepted]
    texts: list[Text]


class LabelLog:
    """Not safe for use from two threads at once; two processes on one file wait for each other.

    One process appends, others open the file for as long as one look takes.
    """

    def __init__(self, file: Path, *, remember_events: int) -> None:
        """remember_events: how many of the latest events' texts are kept for feedback to name.

        Raises LabelLogError when the file can't be opened or is damaged.
        """
        self._file = file
        self._remember_events = remember_events
        self._forgotten_up_to = 0
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=30.0)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(TABLES)
            add_missing_column(self._db, "events", "unreadable", "TEXT NOT NULL DEFAULT ''")
            add_missing_column(self._db, "read_up_to", "before", "INTEGER NOT NULL DEFAULT 0")
            self.attempts = Attempts(self._db, self._writing)
            self.shadow = ShadowAnswers(self._db, self._writing)
        except (sqlite3.Error, OSError) as error:
            raise _unusable(file, error) from None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, all or nothing. Raises LabelLogError where the disk does not take it."""
        try:
            with self._db:
                yield
        except sqlite3.OperationalError as error:
            raise LabelLogError(
                f"label log {self._file}: can't be written ({error}); free space there"
            ) from None

    def check(self) -> None:
        """Read it all. Raises LabelLogError where it is damaged anywhere."""
        try:
            (said,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            said = error
        if said != "ok":
            raise _unusable(self._file, said)

    def close(self) -> None:
        self._db.close()

    def append(
        self,
        accepted: Sequence[Accepted],
        events: Sequence[SeenEvent],
        read_up_to: Mapping[tuple[str, int], int],
        before: Mapping[tuple[str, int], int] | None = None,
    ) -> set[str]:
        """Take feedback, events and the offsets behind them, all or nothing; repeats do nothing.

        before: how many offsets partitions had before they began anew, 0 where they never did.
        Returns the ids of the events on which more is said or known now.
        """
        with self._writing():
            spoken_of = {one.feedback.event_id for one in accepted if self._insert(one)}
            self._forget_repeats(spoken_of)
            self._db.executemany(
                # A text that comes again is the last one: a ticket may be edited back.
                "INSERT OR REPLACE INTO events (id, source, text, unreadable) VALUES (?, ?, ?, ?)",
                events,
            )
            oldest = self._forget_old_events() if events else self._forgotten_up_to
            self._db.executemany(
                "INSERT OR REPLACE INTO read_up_to VALUES (?, ?, ?, ?)",
                (
                    (*place, offset, before.get(place, 0) if before else 0)
                    for place, offset in read_up_to.items()
                ),
            )
        self._forgotten_up_to = oldest
        seen = self._db.execute(
            "SELECT DISTINCT event_id FROM feedback "
            "WHERE event_id IN (SELECT value FROM json_each(?))",
            (json.dumps([event.id for event in events]),),
        )
        return spoken_of | {row[0] for row in seen}

    def position(self, topic: str, partition: int) -> int | None:
        """The offset to go on reading from, None if nothing of that partition was read yet."""
        reached = self._reached(topic, partition)
        return reached and reached[0]

    def before(self, topic: str, partition: int) -> int:
        """How many offsets that partition had before it began anew, 0 if it never did."""
        reached = self._reached(topic, partition)
        return reached[1] if reached else 0

    def _reached(self, topic: str, partition: int) -> tuple[int, int] | None:
        """Its position, and how many offsets it had before."""
        found: tuple[int, int] | None = self._db.execute(
            "SELECT position, before FROM read_up_to WHERE topic = ? AND partition = ?",
            (topic, partition),
        ).fetchone()
        return found

    def spoken(self, event_ids: Iterable[str] | None = None) -> Iterator[Spoken]:
        """What was said of these events, of all if None: each author's latest records."""
        if event_ids is None:
            event_ids = [
                row[0] for row in self._db.execute("SELECT DISTINCT event_id FROM feedback")
            ]
        for event_id in event_ids:
            rows = self._db.execute(
                f"SELECT partition, position, record FROM ({RANKED}) WHERE nth <= ?",  # noqa: S608 - ours
                (json.dumps([event_id]), MOST_OF_AN_AUTHOR),
            )
            said = [Accepted(part, at, _decode(record)) for part, at, record in rows]
            texts = self._db.execute(
                "SELECT text, source, unreadable FROM events WHERE id = ? ORDER BY source, number",
                (event_id,),
            )
            yield Spoken(event_id, said, [Text(*row) for row in texts])

    def settled(self, heads: Sequence[Head]) -> Settled:
        """What people agree on, of all that was said."""
        settlement = Settlement(heads)
        for one in self.spoken():
            settlement.take(*one)
        return settlement.settled()

    def unlabelled(self, limit: int) -> list[SeenEvent]:
        """The latest events that the model can read and nobody has spoken of, the latest first."""
        rows = self._db.execute(
            "SELECT id, source, text FROM events WHERE unreadable = '' "
            "AND id NOT IN (SELECT event_id FROM feedback) ORDER BY number DESC LIMIT ?",
            (limit,),
        )
        return [SeenEvent(*row) for row in rows]

    def note_questions(self, questions: Sequence[Question]) -> None:
        """What to ask people next; replaces what was to be asked before."""
        with self._writing():
            self._db.execute("DELETE FROM questions")
            self._db.executemany("INSERT INTO questions VALUES (?, ?, ?, ?, ?, ?, ?)", questions)

    def questions(self) -> list[Question]:
        """What to ask people next and is not answered yet, by head the most useful first."""
        rows = self._db.execute(
            "SELECT * FROM questions WHERE (event_id, head) NOT IN "
            "(SELECT event_id, json_extract(record, '$.head') FROM feedback) ORDER BY rowid"
        )
        return [Question(*row) for row in rows]

    def summary(self) -> dict[str, Any]:
        """Counts of what is in the log, and the latest attempts with their verdicts."""
        counts = [
            self._db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]  # noqa: S608 - ours
            for table in ("feedback", "events")
        ]
        return {
            "feedback": counts[0],
            "remembered_events": counts[1],
            "in_shadow": {
                version: [str(one) for one in heads]
                for version, heads in self.shadow.agreements().items()
            },
            "attempts": self.attempts.latest(SHOWN_ATTEMPTS),
        }

    def _insert(self, one: Accepted) -> bool:
        """Whether it was not there already."""
        row = (one.partition, one.offset, one.feedback.event_id, msgspec.json.encode(one.feedback))
        return (
            self._db.execute("INSERT OR IGNORE INTO feedback VALUES (?, ?, ?, ?)", row).rowcount > 0
        )

    def _forget_repeats(self, event_ids: Iterable[str]) -> None:
        # Else each further word of such a program would cost more than the one before.
        self._db.execute(
            "DELETE FROM feedback WHERE (partition, position, record) IN "  # noqa: S608 - ours
            f"(SELECT partition, position, record FROM ({RANKED}) WHERE nth > ?)",
            (json.dumps([*event_ids]), MOST_OF_AN_AUTHOR),
        )

    def _forget_old_events(self) -> int:
        """The number of the last event that is old now; those before it are not looked at again."""
        (newest,) = self._db.execute("SELECT MAX(number) FROM events").fetchone()
        oldest: int = newest - self._remember_events
        # Those that somebody has spoken of stay: their text is what the label is about.
        self._db.execute(
            "DELETE FROM events WHERE number > ? AND number <= ? "
            "AND id NOT IN (SELECT event_id FROM feedback)",
            (self._forgotten_up_to, oldest),
        )
        return oldest


@contextlib.contextmanager
def open_to_read(folder: Path) -> Iterator[LabelLog]:
    """The label log of a trainer's folder. Raises LabelLogError without one, or a whole one."""
    file = folder / LABELS_FILE
    if not file.exists():
        raise LabelLogError(
            f"setting trainer.folder: {folder} holds no label log; "
            "run this where `bellwether trainer` runs, or correct the setting"
        )
    with contextlib.closing(LabelLog(file, remember_events=1)) as log:
        try:
            yield log
        except sqlite3.OperationalError as error:
            raise LabelLogError(f"label log {file}: can't be read now ({error})") from None
        except sqlite3.DatabaseError as error:
            raise _unusable(file, error) from None


def _unusable(file: Path, why: object) -> LabelLogError:
    return LabelLogError(
        f"label log {file}: can't be used ({why}); correct trainer.folder, or move the file away "
        "and it is filled again from the topics"
    )


_decode = msgspec.json.Decoder(Feedback).decode
