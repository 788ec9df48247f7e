"""TensorBoard's own reader finds what was logged."""

from __future__ import annotations

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainer.fit import Watch
from trainer.measure import Epoch
from trainer.tensorboard import logged


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
