"""When a receiver is told what: alerts gather in groups, a clock says when each speaks. Pure.

Times are epoch seconds, given by the caller; a clock that is set back, or another worker's that is
behind, delays nothing by more than an interval. The rules are those of Alertmanager's dispatcher
and notification log, with two additions for people: an acknowledged alert is not repeated, and one
whose severity rises is told again, above the severity that was acknowledged too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from stream.alerts.identity import is_later
from stream.alerts.matchers import labels_of
from stream.notify.group import Group, Member, Sending, Write
from stream.notify.news import graver, is_known, lean, matters, reason_to_speak, repeats_at
from stream.notify.notification import MAX_ALERTS, Notification
from stream.notify.routing import Node, Routing
from stream.records import Alert


class Groups:
    """All groups of a deployment. Whatever changes is handed out by drain(), to be written down."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self._members: dict[str, dict[str, Member]] = {}
        self._holders: dict[str, set[str]] = {}
        self._touched: dict[str, set[str]] = {}

    def restore(self, group: Group, members: Mapping[str, Member]) -> None:
        self.groups[group.key] = group
        self._members[group.key] = dict(members)
        for alert_id in members:
            self._holders.setdefault(alert_id, set()).add(group.key)

    def members(self, key: str) -> Mapping[str, Member]:
        return self._members[key]

    def open_alerts(self) -> Iterator[Alert]:
        for alert_id, keys in self._holders.items():
            held = (self._members[key][alert_id] for key in keys)
            # Where an id is used again, a group may still have to tell the end of the one before.
            yield from [member.alert for member in held if member.open][:1]

    def holds(self, alert_id: str) -> bool:
        return alert_id in self._holders

    def take(self, alert: Alert, routing: Routing, now: float) -> None:
        """Put one transition where it belongs. One that a group already has changes nothing.

        A group to which the alert is routed no more tells nothing of it from then on but its end.
        """
        fresh = lean(alert)
        held = routed = frozenset(self._holders.get(alert.id, ()))
        if alert.state != "resolved":
            labels = labels_of(alert)
            nodes = routing.routes_of(labels)
            routed = frozenset(self._ensure(node, labels, now).key for node in nodes)
        for key in routed - held:
            self._put(key, self._newcomer(self.groups[key], fresh, held - routed, now))
        for key in held:
            known = self._members[key][alert.id]
            if is_later(fresh, known.alert):
                if key in routed and fresh.state != "resolved":
                    self._forget_told(key, alert.id)
                    self._put(key, Member(fresh, now))
                elif known.open:
                    self._end(key, alert.id)
            elif fresh.sequence >= known.alert.sequence and not is_later(known.alert, fresh):
                self._renew(key, known, fresh, left=key not in routed)

    def _newcomer(self, group: Group, fresh: Alert, former: frozenset[str], now: float) -> Member:
        """An alert that a group has not had; former are groups that it leaves."""
        since, covered = now, ""
        for key in former:
            known, old = self._members[key][fresh.id], self.groups[key]
            if is_later(fresh, known.alert):
                continue
            since = min(since, known.since)
            said = old.told.get(fresh.id) if old.receiver == group.receiver else None
            if said:
                # No news to whom this group tells it, but theirs to be reminded of.
                covered = graver(covered, said)
                group.sent = max(group.sent, old.sent)
        return Member(fresh, since, covered=covered)

    def _renew(self, key: str, known: Member, fresh: Alert, *, left: bool) -> None:
        newer = fresh if fresh.sequence > known.alert.sequence else known.alert
        left = left if fresh.state != "resolved" else known.left
        member = msgspec.structs.replace(known, alert=newer, left=left)
        if left != known.left or matters(newer, known.alert):
            self._put(key, member)
        else:  # not worth a write: the next one tells what a crash forgets
            self._members[key][fresh.id] = member

    def resolve_all_but(self, open_ids: Collection[str]) -> None:
        """For when transitions were lost: an alert that is not open any more was resolved."""
        self.resolve(alert.id for alert in list(self.open_alerts()) if alert.id not in open_ids)

    def resolve(self, alert_ids: Iterable[str]) -> None:
        """For alerts of which no transition says that they are over."""
        for alert_id in alert_ids:
            for key in self._holders[alert_id]:
                self._end(key, alert_id)

    def follow(self, key: str, routing: Routing) -> None:
        """Go by what the file says of the group's route now, where it still has that route."""
        group = self.groups[key]
        if node := routing.nodes.get((group.path, group.receiver)):
            group.timing, group.mute, group.active = node.timing, node.mute, node.active

    def forget(self, key: str) -> None:
        """End a group whatever it holds."""
        for alert_id in list(self._members[key]):
            self._remove(key, alert_id)
        del self.groups[key], self._members[key]

    def due(self, now: float) -> list[str]:
        for group in self.groups.values():
            # No group waits longer than that: its times were written by a clock that was ahead.
            timing = group.timing
            if group.due > now + max(timing.group_wait_s, timing.group_interval_s):
                group.due = now
                group.sent = min(group.sent, now)
        return [key for key, group in self.groups.items() if group.due <= now and not group.sending]

    def decide(
        self, key: str, now: float, *, hidden: Mapping[str, str], muted: bool, send_resolved: bool
    ) -> Notification | None:
        """What a due group says now, if anything; it is under way then. hidden maps ids to why."""
        group, members = self.groups[key], self._members[key]
        self._touch(key)
        group.due = now + group.timing.group_interval_s
        over = [name for name, one in members.items() if one.left or not one.open]
        # The end of what was told is told, also under a silence: else a pager would ring for ever.
        kept = [name for name in over if send_resolved and name in group.told]
        resolved = [name for name in kept if not members[name].open]
        # Of the others nobody hears any more; a busy or a muted group would gather them for ever.
        for name in set(over).difference(kept):
            self._remove(key, name)
            group.told.pop(name, None)
        if not members:
            self.forget(key)
        if muted or not members:
            return None
        firing = {
            name: one
            for name, one in members.items()
            if one.open and not one.left and name not in hidden
        }
        reason = reason_to_speak(group, firing, resolved, now)
        if reason is None:
            if is_known(group, firing) and repeats_at(group) > now:
                group.due = min(group.due, repeats_at(group))
            return None
        group.turn += 1
        shown = [*firing, *resolved]
        notification = Notification(
            id=_digest(f"{key}\n{group.opened!r}\n{group.turn}")[:24],
            receiver=group.receiver,
            reason=reason,
            status="firing" if firing else "resolved",
            group=key,
            group_labels=group.labels,
            firing=len(firing),
            resolved=len(resolved),
            truncated=max(len(shown) - MAX_ALERTS, 0),
            alerts=tuple(members[name].alert for name in shown[:MAX_ALERTS]),
            created_at=datetime.fromtimestamp(now, UTC),
        )
        severities = {name: one.alert.severity for name, one in firing.items()}
        group.sending = Sending(notification, dict(severities), tuple(resolved))
        return notification

    def delivered(self, key: str, notification_id: str, now: float) -> bool:
        """The receiver has it. False: it was not the one under way."""
        group = self._under_way(key, notification_id)
        if group is None or group.sending is None:
            return False
        members, firing = self._members[key], group.sending.firing
        for name in firing:
            if name in members and members[name].covered:
                self._put(key, msgspec.structs.replace(members[name], covered=""))
        for name in group.sending.resolved:
            group.told.pop(name, None)
            if name in members and not members[name].open:
                self._remove(key, name)
        # One that was left out, as it was hidden, counts as over at the receiver: it is told anew
        # when it shows again, and its end all the same.
        told = group.told | firing
        group.told = {name: firing.get(name, "") for name in told if name in members}
        group.sent, group.sending = now, None
        group.due = now + group.timing.group_interval_s
        if not members:
            self.forget(key)
        return True

    def failed(self, key: str, notification_id: str, now: float) -> bool:
        """Given up; the group speaks again at its next interval, of how things stand then."""
        group = self._under_way(key, notification_id)
        if group is None:
            return False
        group.sending = None
        group.due = now + group.timing.group_interval_s
        return True

    def drain(self) -> list[Write]:
        touched, self._touched = self._touched, {}
        writes = []
        for key, names in touched.items():
            members = self._members.get(key, {})
            kept = {name: members[name] for name in names if name in members}
            gone = frozenset(names - kept.keys())
            writes.append(Write(key, self.groups.get(key), kept, gone))
        return writes

    def _ensure(self, node: Node, labels: Mapping[str, str], now: float) -> Group:
        group_labels = node.group_labels(labels)
        key = _digest("\n".join((node.path, node.receiver, repr(sorted(group_labels.items())))))[
            :16
        ]
        if key not in self.groups:
            self.groups[key] = Group(
                key=key,
                path=node.path,
                receiver=node.receiver,
                labels=group_labels,
                timing=node.timing,
                mute=node.mute,
                active=node.active,
                opened=now,
                due=now + node.timing.group_wait_s,
            )
            self._members[key] = {}
            self._touch(key)
        return self.groups[key]

    def _under_way(self, key: str, notification_id: str) -> Group | None:
        group = self.groups.get(key)
        if group is None or group.sending is None:
            return None
        if group.sending.notification.id != notification_id:
            return None
        self._touch(key)
        return group

    def _put(self, key: str, member: Member) -> None:
        self._members[key][member.alert.id] = member
        self._holders.setdefault(member.alert.id, set()).add(key)
        self._touch(key).add(member.alert.id)

    def _forget_told(self, key: str, alert_id: str) -> None:
        """What was told, or is under way, was an earlier alert that had the id."""
        group = self.groups[key]
        group.told.pop(alert_id, None)
        if group.sending:
            group.sending.firing.pop(alert_id, None)

    def _end(self, key: str, alert_id: str) -> None:
        member = self._members[key][alert_id]
        sequence = member.alert.sequence + 1
        over = msgspec.structs.replace(member.alert, state="resolved", sequence=sequence)
        self._put(key, msgspec.structs.replace(member, alert=over))

    def _remove(self, key: str, alert_id: str) -> None:
        del self._members[key][alert_id]
        self._holders[alert_id].discard(key)
        if not self._holders[alert_id]:
            del self._holders[alert_id]
        self._touch(key).add(alert_id)

    def _touch(self, key: str) -> set[str]:
        return self._touched.setdefault(key, set())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
