"""When to train: enough labels, enough quiet, enough time. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, NamedTuple

Speed = Literal["fast", "deep"]


class Schedule(NamedTuple):
    """fast: after so many new labels, or so many seconds after the last one.

    deep: after so many labels since the last deep fit (0 never); or on drift, or so many seconds
    after the last one (0 never), when every label is tried and there are enough since for it to
    differ.
    """

    refit_after_labels: int = 20
    refit_after_s: float = 15.0
    deep_after_labels: int = 0
    deep_after_s: float = 0.0


# Whoever ends a fit once, as in a restart, did not mean it.
MOST_KILLS = 2
# A fit of the encoder on fewer has nothing to learn that the heads have not learnt already.
LEAST_FOR_DEEP = 50


class Progress(NamedTuple):
    """new: labels that no attempt has seen; quiet_s: seconds since the last of them came.

    since_deep: labels since the last deep fit. drift: what has drifted in words, "" for nothing.
    deep_at: when the next deep fit comes by the clock, in words, "" for never; overdue: it is past.
    """

    new: int
    quiet_s: float
    since_deep: int
    drift: str = ""
    deep_at: str = ""
    overdue: bool = False


def due(schedule: Schedule, progress: Progress) -> Speed | None:
    """The fit that it is time for."""
    if not progress.new:
        # Not before: untried labels reach the live model by a fast fit, in seconds.
        asked = progress.drift or progress.overdue
        return "deep" if asked and progress.since_deep >= LEAST_FOR_DEEP else None
    if 0 < schedule.deep_after_labels <= progress.since_deep:
        return "deep"
    enough = progress.new >= schedule.refit_after_labels
    return "fast" if enough or progress.quiet_s >= schedule.refit_after_s else None


def killed_too_often(times: int) -> str:
    """Why a fit is not begun again that ended so often with its process, "" where it is."""
    if times < MOST_KILLS:
        return ""
    return (
        f"the trainer was killed {times} times in it, most likely for want of memory; give it more "
        "(a deep fit also ends with trainer.deep_after_labels, trainer.deep_after_s and "
        "trainer.drift_above at 0); it is begun again once there are other labels"
    )


def next_deep(schedule: Schedule, since: datetime | None, now: datetime) -> datetime | None:
    """When the clock brings a deep fit; since is the last one, or the first attempt.

    One that is still to come was noted by a clock that was wrong: now, or it might be in years.
    """
    if not (schedule.deep_after_s and since):
        return None
    return now if since > now else since + timedelta(seconds=schedule.deep_after_s)


def waits_for(schedule: Schedule, progress: Progress) -> str:
    """The same in words, for whoever watches."""
    deep = schedule.deep_after_labels
    later = f"; {deep - progress.since_deep} more for a deep fit" if deep else ""
    lacking = LEAST_FOR_DEEP - progress.since_deep
    if progress.deep_at:
        given = f", given {lacking} more labels" if lacking > 0 else ""
        later += f"; a deep fit is due at {progress.deep_at}{given}"
    if progress.drift:
        asks = f"a deep fit needs {lacking} more labels" if lacking > 0 else "a deep fit follows"
        later += f"; drift: {progress.drift}, {asks}"
    if not progress.new:
        return f"waits for labels{later}"
    labels = schedule.refit_after_labels - progress.new
    quiet_s = schedule.refit_after_s - progress.quiet_s
    return f"{progress.new} new labels; waits for {labels} more or {quiet_s:.0f} s of quiet{later}"
