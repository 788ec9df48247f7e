"""What people said last of each event, also where two events have one id. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

from trainer.labels.feedback import Accepted


def by_event(accepted: Iterable[Accepted]) -> Iterator[tuple[str, list[Accepted]]]:
    """By head, in the order of time, what was said of each event that has the id.

    Where people name several sources, each has an event of its own; whoever named none meant the
    one that is named, or it is not known which.
    """
    by_head: dict[str, list[Accepted]] = defaultdict(list)
    for one in sorted(accepted, key=_when):
        by_head[one.feedback.head].append(one)
    for head, words in sorted(by_head.items()):
        sources = sorted({one.feedback.source for one in words} - {""})
        if len(sources) < 2:  # noqa: PLR2004 - one event, whatever it is called
            yield head, words
            continue
        for source in sources:
            yield head, [one for one in words if one.feedback.source == source]
        clear = {one.feedback.author for one in words if one.feedback.source}
        if unclear := [one for one in words if one.feedback.author not in clear]:
            yield head, unclear


def latest_words(words: Iterable[Accepted]) -> tuple[list[Accepted], int, int]:
    """Each author's latest, with the numbers of repeats and corrections; words are by time."""
    said: dict[str, Accepted] = {}
    seen: set[tuple[str, str]] = set()
    repeats = corrections = 0
    for one in words:
        feedback = one.feedback
        before = said.get(feedback.author)
        same = before is not None and before.feedback.label == feedback.label
        identity = (feedback.id, feedback.author)
        if same or identity in seen:
            repeats += 1
            continue
        seen.add(identity)
        corrections += before is not None
        said[feedback.author] = one
    return [*said.values()], repeats, corrections


def _when(one: Accepted) -> tuple[datetime, str, int, int]:
    """The places last, so that the order of reading never decides."""
    return one.feedback.time, one.feedback.id, one.partition, one.offset
