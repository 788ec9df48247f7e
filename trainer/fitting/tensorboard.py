"""What TensorBoard shows of a fit: the loss of each step, and losses and accuracy by epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from trainer.errors import FitError
from trainer.fitting.fit import Watch
from trainer.fitting.measure import Epoch


@contextmanager
def logged(watch: Watch, folder: Path) -> Iterator[Watch]:
    """The same watch, which also writes TensorBoard's event files into folder.

    Raises FitError when the train extra is missing, or folder can't be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional extra
    except ModuleNotFoundError:
        raise FitError(
            "TensorBoard needs the train extra: pip install 'bellwether[train]', "
            "or leave --tensorboard (or trainer.tensorboard) out"
        ) from None
    steps = epochs = 0

    def on_step(done: int, of: int, loss: float) -> None:
        # Counted here: with cross-validation or pseudo-labels several fits follow each other.
        nonlocal steps
        steps += 1
        writer.add_scalar("train loss by step", loss, steps)
        watch.step(done, of, loss)

    def on_epoch(epoch: Epoch) -> None:
        nonlocal epochs
        epochs += 1
        scalars = {"train loss": epoch.train_loss, "val loss": epoch.val_loss}
        scalars |= {f"val accuracy/{head}": value for head, value in epoch.accuracy.items()}
        for name, value in scalars.items():
            writer.add_scalar(name, value, epochs)
        writer.flush()
        watch.epoch(epoch)

    try:
        opened = SummaryWriter(str(folder))
    except OSError as error:
        raise FitError(
            f"TensorBoard's folder {folder} can't be written ({error.strerror}); name another with "
            "--tensorboard (or trainer.tensorboard)"
        ) from None
    with opened as writer:
        yield Watch(epoch=on_epoch, step=on_step)


@contextmanager
def logged_below(watch: Watch, folder: Path | None, began: datetime) -> Iterator[Watch]:
    """As logged, into a folder of this fit's own, named by its time; without folder, watch itself.

    Raises FitError when the train extra is missing.
    """
    if folder is None:
        yield watch
        return
    with logged(watch, folder / f"deep-{began:%Y%m%d-%H%M%S}") as both:
        yield both
