"""What a routing file would have told whom: transitions of the past, grouped in event time. Pure.

Event time stands in for the clock, every notification arrives at once, and nobody acknowledges or
silences anything; the rest is the notifier's own code.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from stream.alerts.matchers import labels_of
from stream.notify.grouping import Groups
from stream.notify.inhibition import Inhibitors
from stream.notify.routing import Routing
from stream.records import Alert

WEEK_S = 7 * 86_400.0
JUST_AFTER_S = 0.5e-6
"""Event times are whole microseconds. A match at the very end of the quiet time is still in it."""


class Rehearsal:
    """Feed transitions in the order of the log, then ask for the counts once with finish()."""

    def __init__(self, routing: Routing, *, quiet_s: Mapping[str, float], default_s: float) -> None:
        """quiet_s: by rule the event time without a match that ends an alert, else default_s."""
        self._routing = routing
        self._quiet_s = quiet_s
        self._default_s = default_s
        self._groups = Groups()
        self._open: dict[str, Alert] = {}
        self._now = 0.0
        self.hidden: set[str] = set()
        self.told: Counter[str] = Counter()

    def feed(self, alert: Alert, at_s: float) -> None:
        """One transition at an event time (epoch seconds); an earlier one counts as the latest."""
        self._advance(max(self._now, at_s))
        self._take(alert)

    def finish(self) -> dict[str, int]:
        """Notifications by receiver, when all that is open has gone quiet and been told so."""
        last = max([self._now, *map(self._ends, self._open.values())])
        # Time intervals recur weekly: what is muted until then is muted for ever.
        self._advance(last + WEEK_S)
        return dict(self.told.most_common())

    def _take(self, alert: Alert) -> None:
        if alert.state == "resolved":
            self._open.pop(alert.id, None)
        else:
            self._open[alert.id] = alert
        self._groups.take(alert, self._routing, self._now)

    def _ends(self, alert: Alert) -> float:
        quiet_s = self._quiet_s.get(alert.rule, self._default_s)
        return alert.last_seen.timestamp() + quiet_s + JUST_AFTER_S

    def _advance(self, until: float) -> None:
        """Everything that happens up to that moment, one moment after the other."""
        while (moment := self._next()) <= until:
            self._now = max(self._now, moment)
            for alert in [one for one in self._open.values() if self._ends(one) <= self._now]:
                over = msgspec.structs.replace(alert, state="resolved", sequence=alert.sequence + 1)
                self._take(over)
            self._speak()
        self._now = until

    def _next(self) -> float:
        """When a group may speak or an alert has been quiet for long enough."""
        groups = (one.due for one in self._groups.groups.values())
        return min((*groups, *map(self._ends, self._open.values())), default=math.inf)

    def _speak(self) -> None:
        due = self._groups.due(self._now)
        if not due:
            return
        inhibitors = Inhibitors(
            self._routing.inhibit_rules,
            ((alert.id, labels_of(alert)) for alert in self._groups.open_alerts()),
        )
        for key in due:
            hidden = {
                one.alert.id: f"inhibited by alert {source}"
                for one in self._groups.members(key).values()
                if one.open and (source := inhibitors.hiding(one.alert.id, labels_of(one.alert)))
            }
            self.hidden |= hidden.keys()
            self._say(key, hidden)

    def _say(self, key: str, hidden: Mapping[str, str]) -> None:
        group = self._groups.groups[key]
        moment = datetime.fromtimestamp(self._now, UTC)
        notification = self._groups.decide(
            key,
            self._now,
            hidden=hidden,
            muted=self._routing.muted(group.mute, group.active, moment),
            send_resolved=self._routing.receivers[group.receiver].send_resolved,
        )
        if notification is not None:
            self.told[group.receiver] += 1
            self._groups.delivered(key, notification.id, self._now)
