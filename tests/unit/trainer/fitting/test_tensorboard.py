"""TensorBoard's own reader finds what was logged."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.fakes import NOON
from trainer.errors import FitError
from trainer.fitting.fit import Watch
from trainer.fitting.measure import Epoch
from trainer.fitting.tensorboard import logged, logged_below


def test_losses_and_accuracy_are_logged_and_passed_on(tmp_path):
    seen: list[object] = []
    plain = Watch(epoch=seen.append, step=lambda done, of, loss: seen.append((done, of, loss)))
    with logged(plain, tmp_path / "logs") as watch:
        watch.step(1, 2, 0.75)
        watch.step(2, 2, 0.5)
        watch.epoch(Epoch(1, 0.625, 0.25, {"mood": 0.875}))
    events = EventAccumulator(str(tmp_path / "logs"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train loss by step")] == [
        (1, 0.75),
        (2, 0.5),
    ]
    assert [e.value for e in events.Scalars("val loss")] == [0.25]
    assert [e.value for e in events.Scalars("val accuracy/mood")] == [0.875]
    assert seen == [(1, 2, 0.75), (2, 2, 0.5), Epoch(1, 0.625, 0.25, {"mood": 0.875})]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(FitError, match=r"file/logs can't be written \(Not a directory\)"),
        logged(Watch(), tmp_path / "file" / "logs"),
    ):
        pass


def test_each_fit_has_a_folder_of_its_own_and_without_one_nothing_is_written(tmp_path):
    plain = Watch()
    with logged_below(plain, None, NOON) as watch:
        assert watch is plain
    with logged_below(plain, tmp_path, NOON) as watch:
        watch.step(1, 2, 0.75)
    (folder,) = tmp_path.iterdir()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [e.value for e in events.Scalars("train loss by step")] == [0.75]
    assert folder.name == f"deep-{NOON:%Y%m%d-%H%M%S}"
