"""Tells alerts apart that have one id, as Redis forgot the earlier one. Pure.

Redis counts the episodes that ids number, and begins again where it has forgotten: alerting.keep_s
after the last one, or with all its memory. Within one alert first_seen never rises and last_seen
never falls, whatever comes late. So a transition that begins and ends after another one is of a
later alert, and sequence orders only what is of the same.
"""

from __future__ import annotations

from stream.records import Alert


def is_later(one: Alert, other: Alert) -> bool:
    """Whether one is a transition of a later alert than other, which has the same id."""
    return one.first_seen > other.first_seen and one.last_seen > other.last_seen


def latest(transitions: list[Alert], found: Alert) -> list[Alert]:
    """The last transition of each alert of one id, with what was found taken in."""
    for place, known in enumerate(transitions):
        if is_later(found, known) or is_later(known, found):
            continue
        newer = found if found.sequence > known.sequence else known
        return [*transitions[:place], newer, *transitions[place + 1 :]]
    return [*transitions, found]
