"""What the console reads of a trainer's folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stream.commands.label_log_file import LabelLogFile
from stream.config.settings import Settings
from stream.console.services import Moved
from tests.fakes import NOON
from trainer.labels.label_log import LABELS_FILE
from trainer.promotion.drift import Answers, Drift
from trainer.promotion.drift_file import save_seen


def test_drift_and_the_last_write_are_told_and_nothing_without_a_trainer(tmp_path: Path) -> None:
    base = Settings()
    trainer = base.trainer.model_copy(update={"folder": tmp_path / "trainer"})
    log = LabelLogFile(base.model_copy(update={"trainer": trainer}))
    assert (log.drift(), log.written()) == ([], None)

    drift = Drift(0.25)
    drift.note([Answers("news", "v1", {"mood": ("good", 0.9)})] * 1_400, "v1")
    save_seen(trainer.folder, drift.seen)
    assert log.drift() == [Moved("v1", "mood", "news", 600)]
    drift.note([Answers("news", "v1", {"mood": ("good", 0.9)})] * 600, "v1")
    save_seen(trainer.folder, drift.seen)
    assert log.drift() == [Moved("v1", "mood", "news", 0, 0.0, 0.0)]

    noon = NOON.timestamp()
    # The last of them is touched by readers, too.
    for suffix, at in (("", noon - 60), ("-wal", noon), ("-shm", noon + 60)):
        file = trainer.folder / f"{LABELS_FILE}{suffix}"
        file.touch()
        os.utime(file, (at, at))
    assert log.written() == NOON


def test_a_label_log_that_can_not_be_read_tells_nothing_and_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = Settings()
    trainer = base.trainer.model_copy(update={"folder": tmp_path})
    log = LabelLogFile(base.model_copy(update={"trainer": trainer}))
    (tmp_path / LABELS_FILE).write_bytes(b"no database " * 1_000)
    assert (log.attempts(), log.suspects(), log.shadow_figures("v1")) == ([], [], [])
    (line,) = caplog.messages
    assert str(tmp_path / LABELS_FILE) in line
