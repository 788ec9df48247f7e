"""How long a challenger runs in shadow, and whether it may then become champion. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

PER_CENT = 100


class Probation(NamedTuple):
    """What a new version must go through after the gate.

    events: live answers in shadow, at least; 0 asks for none. longest_s: seconds it has for them.
    max_change: the share (0..1) of a head's answers in which it may differ from the champion.
    """

    events: int = 0
    longest_s: float = 3_600.0
    max_change: float = 0.2


class Agreement(NamedTuple):
    """Of one head: answers in shadow, and how many of them differ from the champion's."""

    head: str
    answers: int
    differ: int

    def __str__(self) -> str:
        share = self.differ / self.answers * PER_CENT
        return f"{self.head} differs in {self.differ} of {self.answers} ({share:.1f} %)"


class Outcome(NamedTuple):
    """The end of a probation, with its reason as a sentence."""

    promoted: bool
    why: str


def answered(agreements: Sequence[Agreement]) -> int:
    """Live events that the version has answered, by the head that answered the most."""
    return max((one.answers for one in agreements), default=0)


def outcome(
    probation: Probation, agreements: Sequence[Agreement], waited_s: float
) -> Outcome | None:
    """None while it is not decided."""
    answers = answered(agreements)
    if answers < probation.events:
        if waited_s < probation.longest_s:
            return None
        return Outcome(
            promoted=False,
            why=f"only {answers} answers in shadow within {probation.longest_s:.0f} s, "
            f"{probation.events} are asked for; see model.shadow_share and trainer.shadow_events",
        )
    too_far = [one for one in agreements if one.differ > probation.max_change * one.answers]
    if too_far:
        return Outcome(
            promoted=False,
            why=f"in shadow {'; '.join(map(str, too_far))}, {probation.max_change * PER_CENT:.0f} "
            "% at most is allowed; `bellwether feedback ask` lists where",
        )
    said = "; ".join(map(str, agreements)) or "no answers are asked for"
    return Outcome(promoted=True, why=f"in shadow {said}")


def waits_for(probation: Probation, version: str, agreements: Sequence[Agreement]) -> str:
    """The same in words, for whoever watches."""
    answers = answered(agreements)
    so_far = f": {'; '.join(map(str, agreements))}" if agreements else ""
    return f"{version} in shadow, {answers} of {probation.events} answers{so_far}; labels wait"
