"""Silences: what hides alerts from notification, why, until when, and how many it hid. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import msgspec

from stream.alerts.matchers import SEVERITIES, Matcher, all_hold, read_matcher
from stream.names import EVENT_KINDS, SUBJECT_KINDS

_NAMES = ("q7x-zk40", "0v9-wwq", "7" * 30)
"""Of rules and subjects: such that only a pattern which takes any name takes all of them."""


class SilenceError(Exception):
    """A silence that can't be made or ended; the message says why."""


class AbsentSilenceError(SilenceError):
    """The end of a silence that there is not."""


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Hides the alerts for which all matchers hold, from starts on, or since it was made.

    hidden counts alerts, not their transitions. to_come is no part of what Redis keeps: whether it
    had yet to start when it was read, by the clock of Redis.
    """

    id: str
    matchers: tuple[str, ...]
    author: str
    reason: str
    created: datetime
    expiry: datetime
    hidden: int = 0
    starts: datetime | None = None
    to_come: bool = False


class ActiveSilences:
    """Silences in force, matchers read. The oldest that holds is the one that hides."""

    def __init__(self, silences: Iterable[Silence] = ()) -> None:
        """Leaves out those that are still to come."""
        ordered = sorted(
            (silence for silence in silences if not silence.to_come),
            key=lambda silence: (silence.created, silence.id),
        )
        self._silences = [
            (silence, [read_matcher(text) for text in silence.matchers]) for silence in ordered
        ]
        self.ids = frozenset(silence.id for silence in ordered)

    def hiding(self, labels: Mapping[str, str], now: datetime | None = None) -> Silence | None:
        """The silence that hides alerts with these labels, of those that are not over at now.

        Without now all are in force: whoever has just read them from Redis knows it better than a
        clock that may be set wrong.
        """
        for silence, matchers in self._silences:
            if (now is None or silence.expiry > now) and all_hold(matchers, labels):
                return silence
        return None


def check(matchers: Sequence[Matcher]) -> None:
    """Raises SilenceError where the matchers would hide any alert that they don't name."""
    if all(all_hold(matchers, labels) for labels in _any_alerts()):
        raise SilenceError(
            "this silence would hide every alert, or all but those it names, also what nobody "
            "foresaw; give at least one matcher that names what is to be hidden, such as rule=NAME"
        )


def _any_alerts() -> Iterator[dict[str, str]]:
    """The labels of alerts so unlike that what hides all of them hides any other."""
    for severity in SEVERITIES:
        for kind in (*SUBJECT_KINDS, *EVENT_KINDS):
            for name in _NAMES:
                yield {
                    "rule": name,
                    "severity": severity,
                    "subject": f"{kind}:{name}",
                    "subject_kind": kind,
                }
