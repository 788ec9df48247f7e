"""From what people agree on to a challenger of the champion; takes seconds, or minutes if deep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from stream.records import utc_now
from trainer.fitting.fit import Watch
from trainer.fitting.measure import Epoch
from trainer.fitting.tensorboard import logged_below
from trainer.labels.settlement import Settled
from trainer.priority import Throttle, in_idle_time
from trainer.promotion.challenge import Challenger, challenge_deep, challenge_fast
from trainer.promotion.champion import Champion
from trainer.promotion.data_split import split_labels
from trainer.schedule import Speed

READ_UP_TO = "read_up_to"


async def contest(
    champion: Champion,
    settled: Settled,
    speed: Speed,
    *,
    note_epoch: Callable[[Epoch], None],
    tensorboard: Path | None,
) -> Challenger:
    """Raises TrainerError, and what torch raises. note_epoch is called on another thread."""

    def challenger() -> Challenger:
        present, root = champion.contender, champion.root()
        data = split_labels(settled.labels, present.checkpoint.training.get(READ_UP_TO, {}))
        lineage = {
            "labels": len(settled.labels),
            "labels_fingerprint": settled.fingerprint,
            READ_UP_TO: settled.read_up_to,
        }
        if speed == "fast":
            return challenge_fast(present, root, data, lineage=lineage)
        watch = Watch(epoch=note_epoch, step=Throttle())
        with logged_below(watch, tensorboard, utc_now()) as watched:
            return challenge_deep(present, root, data, lineage=lineage, watch=watched)

    # A fast fit takes seconds that people wait for, a deep one minutes that nobody does.
    return await (in_idle_time if speed == "deep" else asyncio.to_thread)(challenger)
