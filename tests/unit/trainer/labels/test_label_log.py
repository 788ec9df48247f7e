from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from models.spec import Head
from stream.records import Feedback
from tests.fakes import NOON, settle
from trainer.errors import LabelLogError
from trainer.labels.feedback import Accepted, Text
from trainer.labels.label_log import (
    LABELS_FILE,
    MOST_OF_AN_AUTHOR,
    LabelLog,
    SeenEvent,
    open_to_read,
)
from trainer.labels.question import Question
from trainer.labels.settlement import Settled, Settlement
from trainer.schedule import Speed

HEADS = (Head(name="mood", labels=("bad", "good")),)


def said(offset: int, event_id: str = "e1", **changes: Any) -> Accepted:
    fields = {"id": f"f{offset}", "head": "mood", "label": "good", "author": "ann", "time": NOON}
    return Accepted(0, offset, Feedback(event_id=event_id, **(fields | changes)))


def event(number: int) -> SeenEvent:
    return SeenEvent(f"e{number}", "news", f"text {number}")


def settled(log: LabelLog) -> Settled:
    settlement = Settlement(HEADS)
    for one in log.spoken():
        settlement.take(*one)
    return settlement.settled()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LabelLog]:
    log = LabelLog(tmp_path / LABELS_FILE, remember_events=3)
    yield log
    log.close()


def test_what_was_appended_is_there_after_a_restart(log: LabelLog, tmp_path: Path) -> None:
    log.append([said(4)], [event(1)], {("feedback", 0): 5})
    log.close()
    again = LabelLog(tmp_path / LABELS_FILE, remember_events=3)
    assert [*again.spoken()] == [("e1", [said(4)], [Text("text 1", "news")])]
    assert again.position("feedback", 0) == 5
    assert again.position("feedback", 1) is None
    again.close()


def test_a_record_read_twice_is_kept_once(log: LabelLog) -> None:
    log.append([said(4)], [event(1)], {("feedback", 0): 5})
    log.append([said(4)], [event(1)], {("feedback", 0): 5})
    assert [*log.spoken()] == [("e1", [said(4)], [Text("text 1", "news")])]


def test_an_append_tells_of_which_events_more_is_said_or_known(log: LabelLog) -> None:
    assert log.append([said(1, "e1")], [event(2)], {}) == {"e1"}
    assert log.append([said(1, "e1")], [event(3)], {}) == set()
    assert log.append([said(2, "e3")], [event(1), event(4)], {}) == {"e1", "e3"}
    assert [one.event_id for one in log.spoken({"e3", "e9"}) if one.accepted] == ["e3"]


def test_what_is_settled_as_it_comes_is_what_the_file_says(log: LabelLog) -> None:
    settlement = Settlement(HEADS)
    for accepted, events in (
        ([said(1, "e1")], []),
        ([said(1, "e1")], [event(1), event(2)]),
        ([said(3, "e3")], [SeenEvent("e1", "mail", "another text")]),
        ([said(2, "e2")], [event(n) for n in range(3, 9)]),
    ):
        for one in log.spoken(log.append(accepted, events, {})):
            settlement.take(*one)
    assert settlement.settled() == settled(log)
    assert settled(log).ambiguous == (("e1", "mood"),)
    assert [one.event_id for one in settled(log).labels] == ["e2", "e3"]


def test_of_a_program_that_speaks_for_ever_the_latest_is_kept_and_nobody_elses_vote_is_lost(
    log: LabelLog,
) -> None:
    votes = [
        said(0, author="bob", label="bad"),
        said(1, author="cid", label="bad"),
        said(2, head="kind", label="card", author="bot"),
    ]
    late = NOON + timedelta(milliseconds=1)
    last_word = said(3, author="bot", label="bad", time=late)
    log.append([*votes, last_word], [event(1)], {})
    for first in (4, 4 + MOST_OF_AN_AUTHOR):
        many = range(first, first + MOST_OF_AN_AUTHOR)
        log.append([said(n, id=f"f{n:04}", author="bot") for n in many], [], {})
    ((_, accepted, _),) = log.spoken()
    kept = range(5 + MOST_OF_AN_AUTHOR, 4 + 2 * MOST_OF_AN_AUTHOR)
    assert sorted(one.offset for one in accepted) == [0, 1, 2, 3, *kept]
    assert log.summary()["feedback"] == len(accepted)
    assert [one.label for one in settled(log).labels] == ["bad"]


def test_repeats_in_a_file_of_an_older_program_are_not_read(
    log: LabelLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append([said(n) for n in range(5)], [event(1)], {})
    monkeypatch.setattr("trainer.labels.label_log.MOST_OF_AN_AUTHOR", 2)
    ((_, accepted, _),) = log.spoken()
    assert sorted(one.offset for one in accepted) == [3, 4]


def test_an_append_that_fails_half_way_leaves_nothing(log: LabelLog) -> None:
    broken = SeenEvent("e1", "news", object())  # type: ignore[arg-type]
    with pytest.raises(sqlite3.Error):
        log.append([said(4)], [broken], {("feedback", 0): 5})
    assert [*log.spoken()] == []
    assert log.position("feedback", 0) is None


def test_a_full_disk_keeps_nothing_of_an_append_and_takes_it_once_there_is_room(
    log: LabelLog, tmp_path: Path
) -> None:
    log.append([said(1)], [event(1)], {("feedback", 0): 2})
    much = [said(offset, f"e{offset}") for offset in range(2, 2_000)]
    log._db.execute("PRAGMA max_page_count = 30")
    path = re.escape(str(tmp_path / LABELS_FILE))
    with pytest.raises(LabelLogError, match=rf"{path}: can't be written .*full.*free space"):
        log.append(much, [], {("feedback", 0): 2_000})
    assert log.position("feedback", 0) == 2
    assert [one.accepted for one in log.spoken()] == [[said(1)]]
    log._db.execute("PRAGMA max_page_count = 1000000")
    log.append(much, [], {("feedback", 0): 2_000})
    assert log.position("feedback", 0) == 2_000
    assert sum(len(one.accepted) for one in log.spoken()) == 1_999


def test_old_events_are_forgotten_unless_somebody_spoke_of_them(log: LabelLog) -> None:
    log.append([said(1, "e0")], [event(n) for n in range(10)], {})
    log.append([said(2, "e5"), said(3, "e9")], [], {})
    known = {one.event_id: bool(one.texts) for one in log.spoken()}
    assert known == {"e0": True, "e5": False, "e9": True}


def test_an_event_costs_no_more_the_more_old_ones_somebody_spoke_of(log: LabelLog) -> None:
    """In steps of SQLite's machine."""
    steps: list[int] = []
    log._db.set_progress_handler(lambda: steps.append(1), 10)
    cost = []
    for first in (0, 2_000):
        many = range(first, first + 2_000)
        log.append([said(n, f"e{n}") for n in many], [event(n) for n in many], {})
        log.append([], [event(n) for n in range(10_000 + first, 10_010 + first)], {})
        steps.clear()
        log.append([], [event(20_000 + first)], {})
        cost.append(len(steps))
    assert cost[1] < 1.5 * cost[0] < 1_000


def test_the_last_attempt_and_its_suspects_are_remembered(log: LabelLog) -> None:
    assert log.attempts.last() == ("", 0)
    log.append([said(1)], [event(1)], {})
    one = settled(log)
    log.attempts.note(one, one.labels, "refused: because", NOON)
    assert log.attempts.last() == (one.fingerprint, 1)
    assert [one["event_id"] for one in log.attempts.suspects()] == ["e1"]
    assert log.summary()["attempts"][0]["verdict"] == "refused: because"
    log.attempts.note(one, [], "promoted", NOON)
    assert log.attempts.suspects() == []


def test_a_folder_without_a_label_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelLogError, match=r"trainer\.folder"), open_to_read(tmp_path):
        pass


def test_a_damaged_label_log_is_named(tmp_path: Path) -> None:
    (tmp_path / LABELS_FILE).write_bytes(b"this is no database" * 100)
    with pytest.raises(LabelLogError, match="move the file away"):
        LabelLog(tmp_path / LABELS_FILE, remember_events=3)


def test_damage_in_the_middle_is_named_too(tmp_path: Path) -> None:
    file = tmp_path / LABELS_FILE
    log = LabelLog(file, remember_events=10_000)
    log.append([said(n, f"e{n}") for n in range(2_000)], [event(n) for n in range(2_000)], {})
    log.check()
    log.close()
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[:middle] + b"\xff" * 20_000 + content[middle + 20_000 :])
    damaged = LabelLog(file, remember_events=10_000)
    with pytest.raises(LabelLogError, match="move the file away"):
        damaged.check()
    damaged.close()
    with pytest.raises(LabelLogError, match="move the file away"), open_to_read(tmp_path) as read:
        read.settled(HEADS)


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


def test_what_the_model_can_not_read_is_not_asked_about_and_its_label_teaches_once_it_can(
    log: LabelLog,
) -> None:
    foreign = event(2)._replace(unreadable="language de, the model reads en")
    log.append([], [event(1), foreign], {})
    # However few are wanted: what can be read is not crowded out.
    assert [one.id for one in log.unlabelled(1)] == ["e1"]
    log.append([said(4, "e2")], [], {("feedback", 0): 5})
    assert settled(log).unreadable == (("e2", "mood"),)
    # Another language was added to the settings, and the event came again.
    assert log.append([], [event(2)], {}) == {"e2"}
    assert [one.event_id for one in settled(log).labels] == ["e2"]


def test_a_ticket_that_is_edited_back_has_the_text_that_came_last(log: LabelLog) -> None:
    first, edited = event(1), event(1)._replace(text="another text")
    for one in (first, edited, first):
        log.append([said(1)], [one], {})
    assert [one.text for one in settled(log).labels] == [first.text]


def test_how_many_labels_the_last_deep_attempt_knew_is_remembered(log: LabelLog) -> None:
    log.append([said(1, "e1"), said(2, "e2")], [event(1), event(2)], {})
    both = settled(log)
    log.attempts.note(both, [], "promoted", NOON, "fast")
    assert log.attempts.labels_of_last_deep() == 0
    log.attempts.note(both, [], "refused", NOON, "deep")
    assert log.attempts.labels_of_last_deep() == 2
    # Of labels that went since, what comes in their place is new.
    log.attempts.note(settle([], {}, HEADS), [], "refused", NOON, "fast")
    assert log.attempts.labels_of_last_deep() == 0
    log.attempts.note(both, [], "refused", NOON, "fast")
    assert log.attempts.labels_of_last_deep() == 0
    assert [one["speed"] for one in log.summary()["attempts"]] == ["fast", "fast", "deep", "fast"]


SPEEDS: tuple[Speed, ...] = ("fast", "fast", "deep", "fast")


def test_a_fit_that_was_not_done_leaves_what_the_last_one_doubted(log: LabelLog) -> None:
    log.append([said(1)], [event(1)], {})
    labels = settled(log)
    log.attempts.note(labels, labels.labels, "refused", NOON)
    log.attempts.note(labels, None, "not done", NOON, "deep")
    assert [one["event_id"] for one in log.attempts.suspects()] == ["e1"]
    log.attempts.note(labels, [], "promoted", NOON)
    assert log.attempts.suspects() == []


def test_the_clock_of_deep_fits_begins_with_the_first_attempt_and_again_with_each_deep_one(
    log: LabelLog,
) -> None:
    none = settle([], {}, HEADS)
    assert log.attempts.deep_or_first_at() is None
    for hours, speed in enumerate(SPEEDS):
        log.attempts.note(none, [], "refused", NOON + timedelta(hours=hours), speed)
        first = NOON if hours < 2 else NOON + timedelta(hours=2)
        assert log.attempts.deep_or_first_at() == first


def test_a_file_of_an_older_program_is_taken_up(log: LabelLog, tmp_path: Path) -> None:
    log.attempts.note(settle([], {}, HEADS), [], "refused: because", NOON)
    log.append([], [event(1)], {})
    log.close()
    with sqlite3.connect(tmp_path / LABELS_FILE) as older:
        older.execute("ALTER TABLE attempts DROP COLUMN speed")
        older.execute("ALTER TABLE events DROP COLUMN unreadable")
        older.execute("ALTER TABLE read_up_to DROP COLUMN before")
    older.close()
    again = LabelLog(tmp_path / LABELS_FILE, remember_events=3)
    assert [one["speed"] for one in again.summary()["attempts"]] == ["fast"]
    again.attempts.note(settle([], {}, HEADS), [], "refused", NOON, "deep")
    place = ("feedback", 0)
    again.append(
        [], [event(2), event(3)._replace(unreadable="language de")], {place: 1}, {place: 9}
    )
    assert again.before(*place) == 9
    assert [one.id for one in again.unlabelled(5)] == ["e2", "e1"]
    again.close()
