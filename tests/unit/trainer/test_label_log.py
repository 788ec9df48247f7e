from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.spec import Head
from stream.records import Feedback
from tests.fakes import NOON
from trainer.errors import LabelLogError
from trainer.feedback import Accepted, Text, settle
from trainer.label_log import LABELS_FILE, LabelLog, SeenEvent, open_to_read
from trainer.question import Question

HEADS = (Head(name="mood", labels=("bad", "good")),)


def said(offset: int, event_id: str = "e1") -> Accepted:
    feedback = Feedback(
        id=f"f{offset}", event_id=event_id, head="mood", label="good", author="ann", time=NOON
    )
    return Accepted(0, offset, feedback)


def event(number: int) -> SeenEvent:
    return SeenEvent(f"e{number}", "news", f"text {number}")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LabelLog]:
    log = LabelLog(tmp_path / LABELS_FILE, remember_events=3)
    yield log
    log.close()


def test_what_was_appended_is_there_after_a_restart(log: LabelLog, tmp_path: Path) -> None:
    log.append([said(4)], [event(1)], {("feedback", 0): 5})
    log.close()
    again = LabelLog(tmp_path / LABELS_FILE, remember_events=3)
    assert again.feedback() == [said(4)]
    assert again.texts() == {"e1": [Text("text 1", "news")]}
    assert again.position("feedback", 0) == 5
    assert again.position("feedback", 1) is None
    again.close()


def test_a_record_read_twice_is_kept_once(log: LabelLog) -> None:
    log.append([said(4)], [event(1)], {("feedback", 0): 5})
    log.append([said(4)], [event(1)], {("feedback", 0): 5})
    assert len(log.feedback()) == 1
    assert len(log.texts()["e1"]) == 1


def test_a_settle_reads_nothing_that_it_has_read_before(log: LabelLog, tmp_path: Path) -> None:
    log.append([said(1, "e1")], [event(1), event(2)], {})
    assert len(settle(log.feedback(), log.texts(), HEADS).labels) == 1
    # Whoever reads the old rows again finds them gone.
    with sqlite3.connect(tmp_path / LABELS_FILE) as other:
        other.execute("DELETE FROM feedback")
        other.execute("DELETE FROM events WHERE id = 'e1'")
    other.close()
    log.append([said(2, "e2")], [], {})
    assert [one.event_id for one in settle(log.feedback(), log.texts(), HEADS).labels] == [
        "e1",
        "e2",
    ]


def test_what_is_kept_in_memory_is_what_is_in_the_file(log: LabelLog, tmp_path: Path) -> None:
    assert (log.feedback(), log.texts()) == ([], {})
    log.append([said(1, "e1")], [], {})
    log.append([said(1, "e1")], [event(1), event(2)], {})
    log.append([said(3, "e3")], [SeenEvent("e1", "mail", "another text")], {})
    log.append([said(2, "e2")], [event(n) for n in range(3, 9)], {})
    again = LabelLog(tmp_path / LABELS_FILE, remember_events=3)
    assert sorted(one.offset for one in log.feedback()) == [1, 2, 3]
    assert settle(log.feedback(), log.texts(), HEADS) == settle(
        again.feedback(), again.texts(), HEADS
    )
    assert log.texts() == again.texts()
    again.close()


def test_an_append_that_fails_half_way_leaves_nothing(log: LabelLog) -> None:
    broken = SeenEvent("e1", "news", object())  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        log.append([said(4)], [broken], {("feedback", 0): 5})
    assert log.feedback() == []
    assert log.position("feedback", 0) is None


def test_old_events_are_forgotten_unless_somebody_spoke_of_them(log: LabelLog) -> None:
    log.append([said(1, "e0")], [event(n) for n in range(10)], {})
    log.append([said(2, "e5"), said(3, "e9")], [], {})
    assert log.texts().keys() == {"e0", "e9"}


def test_the_last_attempt_and_its_suspects_are_remembered(log: LabelLog) -> None:
    assert log.last_attempt() == ("", 0)
    log.append([said(1)], [event(1)], {})
    settled = settle(log.feedback(), log.texts(), HEADS)
    log.note_attempt(settled, settled.labels, "refused: because", NOON)
    assert log.last_attempt() == (settled.fingerprint, 1)
    assert [one["event_id"] for one in log.suspects()] == ["e1"]
    assert log.summary()["attempts"][0]["verdict"] == "refused: because"
    log.note_attempt(settled, [], "promoted", NOON)
    assert log.suspects() == []


def test_a_folder_without_a_label_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelLogError, match=r"trainer\.folder"):
        open_to_read(tmp_path)


def test_a_damaged_label_log_is_named(tmp_path: Path) -> None:
    (tmp_path / LABELS_FILE).write_bytes(b"this is no database" * 100)
    with pytest.raises(LabelLogError, match="move the file away"):
        LabelLog(tmp_path / LABELS_FILE, remember_events=3)


def test_events_that_somebody_spoke_of_are_no_longer_asked_about(log: LabelLog) -> None:
    log.append([], [event(1), event(2), event(3)], {})
    log.note_questions(
        [
            Question("mood", f"e{number}", "news", f"text {number}", "bad", 0.5, "unsure")
            for number in (1, 2)
        ]
    )
    log.append([said(4)], [], {("feedback", 0): 5})
    assert [one.event_id for one in log.questions()] == ["e2"]
    assert [one.id for one in log.unlabelled(5)] == ["e3", "e2"]


def test_how_many_labels_the_last_deep_attempt_knew_is_remembered(log: LabelLog) -> None:
    log.append([said(1, "e1"), said(2, "e2")], [event(1), event(2)], {})
    both = settle(log.feedback(), log.texts(), HEADS)
    log.note_attempt(both, [], "promoted", NOON, "fast")
    assert log.labels_of_last_deep() == 0
    log.note_attempt(both, [], "refused", NOON, "deep")
    log.note_attempt(settle([], {}, HEADS), [], "refused", NOON, "fast")
    assert log.labels_of_last_deep() == 2
    assert [one["speed"] for one in log.summary()["attempts"]] == ["fast", "deep", "fast"]


def test_a_file_of_an_older_program_is_taken_up(log: LabelLog, tmp_path: Path) -> None:
    log.note_attempt(settle([], {}, HEADS), [], "refused: because", NOON)
    log.close()
    with sqlite3.connect(tmp_path / LABELS_FILE) as older:
        older.execute("ALTER TABLE attempts DROP COLUMN speed")
    older.close()
    again = LabelLog(tmp_path / LABELS_FILE, remember_events=3)
    assert [one["speed"] for one in again.summary()["attempts"]] == ["fast"]
    again.note_attempt(settle([], {}, HEADS), [], "refused", NOON, "deep")
    again.close()
