"""The life of alerts in memory, for backtests: what scripts/raise_alert.lua does in Redis. Pure.

Nothing expires here: an alert that Redis forgets alerting.keep_s after its end is still known. And
nothing is recognised: whoever gives an event twice has it counted twice.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from stream.alerts.evidence import (
    EVIDENCE_EVENTS,
    SEVERITY_RANKS,
    condition_of,
    evidence,
    fingerprint,
    rule_labels,
)
from stream.records import Alert, Evidence, Scored
from stream.rules.rule_set import Match
from stream.signals.windows import span_us, time_us


class _Pending(msgspec.Struct):
    """Matches of a rule with `for` that have not held long enough yet."""

    first: datetime
    last: datetime
    count: int
    evidence: tuple[Evidence, ...]


class _Current(msgspec.Struct):
    """What is known of one fingerprint."""

    alert: Alert | None = None
    last_us: int = 0
    ended_us: int | None = None
    pending: _Pending | None = None


class Episodes:
    """Every alert of one run."""

    def __init__(self, *, quiet_s: float) -> None:
        """quiet_s holds for rules without a `quiet` of their own."""
        self._quiet_s = quiet_s
        self._current: dict[str, _Current] = {}
        # By subject the rules of which more than "it holds" matters.
        self.known: dict[str, set[str]] = {}

    def raise_alert(self, scored: Scored, match: Match) -> Alert | None:
        """The transition this verdict causes, None for none."""
        mark = fingerprint(match.rule.name, match.subject)
        current = self._current.get(mark)
        if current is None:
            if match.outcome != "holds":
                return None
            current = self._current[mark] = _Current()
        at_us = time_us(scored.time)
        quiet_us = span_us(match.rule.quiet_s or self._quiet_s)
        alert = current.alert
        active = (
            alert is not None and alert.state != "resolved" and at_us <= current.last_us + quiet_us
        )
        rules = self.known.setdefault(match.subject, set())
        if match.outcome == "holds":
            rules.add(match.rule.name)
        else:
            # What was forgotten is over, for an event that comes late too.
            ends = match.rule.name in rules and active and at_us >= current.last_us
            if not _still_waits(current, scored) and not active:
                rules.discard(match.rule.name)
            if match.outcome == "fails" or not ends:
                return None
        if alert is not None and active:
            alert = _next(alert, scored, match)
        elif _too_soon(current, at_us, quiet_us, match):
            alert = None
        else:
            alert = _fire(current, scored, match, mark, quiet_us)
        if alert is not None:
            current.alert = alert
            current.last_us = time_us(alert.last_seen)
            current.ended_us = at_us if alert.state == "resolved" else None
        return alert


def _still_waits(current: _Current, scored: Scored) -> bool:
    """End the wait of a rule that holds no longer, unless the event is older than it."""
    if current.pending and scored.time >= current.pending.first:
        current.pending = None
    return current.pending is not None


def _next(alert: Alert, scored: Scored, match: Match) -> Alert:
    """The transition of an alert that is active already."""
    if match.outcome == "resolves":
        return _decided(
            alert,
            scored,
            match,
            state="resolved",
            ended_at=scored.time,
            ended_by=evidence(scored),
        )
    return _decided(
        alert,
        scored,
        match,
        state="updated",
        count=alert.count + 1,
        first_seen=min(alert.first_seen, scored.time),
        last_seen=max(alert.last_seen, scored.time),
        evidence=_appended(alert.evidence, scored),
    )


def _too_soon(current: _Current, at_us: int, quiet_us: int, match: Match) -> bool:
    """Whether the last episode, or the cooldown after it, covers this event's time."""
    if current.alert is None:
        return False
    if current.alert.state == "resolved":
        ended = current.last_us if current.ended_us is None else current.ended_us
        if at_us <= ended:
            return True
    else:
        ended = current.last_us + quiet_us
    return at_us < ended + span_us(match.rule.cooldown_s)


def _fire(
    current: _Current, scored: Scored, match: Match, mark: str, quiet_us: int
) -> Alert | None:
    first = last = scored.time
    count = 1
    events: tuple[Evidence, ...] = (evidence(scored),)
    for_us = span_us(match.rule.for_s)
    if for_us:
        waiting = current.pending
        if waiting and time_us(scored.time) <= time_us(waiting.last) + quiet_us:
            if scored.time < waiting.first:  # nobody asked whether it held in between
                return None
            first, last = waiting.first, max(waiting.last, last)
            count = waiting.count + 1
            events = _appended(waiting.evidence, scored)
        if time_us(last) - time_us(first) < for_us:
            current.pending = _Pending(first, last, count, events)
            return None
    current.pending = None
    episode = current.alert.episode + 1 if current.alert else 1
    rule = match.rule
    return Alert(
        id=f"{mark}-{episode}",
        fingerprint=mark,
        episode=episode,
        sequence=1,
        rule=rule.name,
        rule_version=rule.version,
        severity=rule.severity,
        state="firing",
        subject=match.subject,
        title=match.title,
        summary=match.summary,
        first_seen=first,
        last_seen=last,
        count=count,
        evidence=events,
        signal=match.signal,
        model=scored.model,
        labels={"severity": rule.severity, **rule_labels(match)},
        condition=condition_of(match),
        fired_at=last,
    )


def _decided(alert: Alert, scored: Scored, match: Match, **changes: object) -> Alert:
    """The alert with what a verdict decides anew; severity never falls within an episode.

    Title and summary stay those of the last event that counted: what ends it is another matter.
    """
    told = match if match.outcome == "holds" else alert
    severity = max(alert.severity, match.rule.severity, key=SEVERITY_RANKS.__getitem__)
    return msgspec.structs.replace(
        alert,
        sequence=alert.sequence + 1,
        rule_version=match.rule.version,
        severity=severity,
        title=told.title,
        summary=told.summary,
        signal=match.signal,
        model=scored.model,
        labels={"severity": severity, **rule_labels(match)},
        condition=condition_of(match),
        **changes,
    )


def _appended(events: tuple[Evidence, ...], scored: Scored) -> tuple[Evidence, ...]:
    return (*events, evidence(scored))[-EVIDENCE_EVENTS:]
