"""Topic names and Redis keys: the public contract in one place."""

from __future__ import annotations

import re
from typing import Literal

SourceKind = Literal["news", "social", "ticket"]
SOURCE_KINDS: tuple[SourceKind, ...] = ("news", "social", "ticket")

SUBJECT_KINDS = ("ticker", "sector", "customer", "topic")
"""What the stream finds an event to be about, beside the kinds that subjects.fields adds."""
EVENT_KINDS = ("source", "event")
"""What a rule may also raise an alert about."""

MAX_ID_CHARS = 512
"""Of an event's id, wherever it is taken."""

OWN_LABELS = ("rule", "severity", "subject", "subject_kind")
"""Labels every alert has from itself; a rule may not give them."""
TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
"""What Kafka takes as the name of a topic."""


class Topics:
    """Names of our own topics under a prefix; users' source topics keep their own names."""

    def __init__(self, prefix: str = "bellwether.") -> None:
        self.prefix = prefix
        self.scored = f"{prefix}scored"
        self.alerts = f"{prefix}alerts"
        self.review = f"{prefix}review"
        self.feedback = f"{prefix}feedback"
        self.models = f"{prefix}models"
        self.shadow = f"{prefix}shadow"
        self.dead_letter = f"{prefix}dead-letter"
        self.replays = f"{prefix}dead-letter.replays"
        self.ledger = f"{prefix}ledger"

    def queue(self, name: str) -> str:
        return f"{self.prefix}tickets.{name}"


class Keys:
    """Redis keys under a prefix."""

    def __init__(self, prefix: str = "bw:") -> None:
        self.prefix = prefix
        self.alerts_open = f"{prefix}alerts:open"
        self.alerts_quiet = f"{prefix}alerts:quiet"
        self.alerts_stream = f"{prefix}alerts:stream"
        self.alerts_live = f"{prefix}alerts:live"
        self.novelty = f"{prefix}novelty"
        self.novelty_answers = f"{prefix}novelty:answers:"
        self.copies = f"{prefix}copies:"
        self.silences = f"{prefix}silences"
        self.turn = f"{prefix}turn"
        self.calls = f"{prefix}signals:call:"
        self.former_folds = f"{prefix}signals:fold:"
        self.probe = f"{prefix}probe"
        self.replaying = f"{prefix}replaying"

    def alert(self, alert_id: str) -> str:
        return f"{self.prefix}alert:{alert_id}"

    def copies_of(self, source: str, event_id: str) -> str:
        """Which copies of an event were seen, to be counted (HyperLogLog)."""
        return f"{self.copies}{source}:{event_id}"

    def history(self, alert_id: str) -> str:
        """What people, the sweeper and silences did about an alert, the first first."""
        return f"{self.prefix}alert:{alert_id}:history"

    def silence(self, silence_id: str) -> str:
        return f"{self.prefix}silence:{silence_id}"

    def notify(self, name: str) -> str:
        """What the notifier knows: position, groups, group:<key>, hidden, receiver:<name>, …"""
        return f"{self.prefix}notify:{name}"

    @property
    def receivers(self) -> str:
        """The names of those that the routing file in force has."""
        return self.notify("receivers")

    def receiver(self, name: str) -> str:
        """How it takes what it is sent: sent, failed, error, failed_at, trouble, trouble_since."""
        return self.notify(f"receiver:{name}")

    def fingerprint(self, fingerprint: str) -> str:
        """The current episode of a fingerprint: alert id, episode number, last event time."""
        return f"{self.prefix}fingerprint:{fingerprint}"

    def lasting(self, subject: str) -> str:
        """The rules that have, or lately had, an alert or a wait about a subject (set)."""
        return f"{self.prefix}lasting:{subject}"

    def judged(self, fingerprint: str, event_id: str) -> str:
        """The transition an event already caused: a replay repeats it and counts nothing twice."""
        return f"{self.prefix}judged:{fingerprint}:{event_id}"

    def subject(self, subject: str) -> str:
        """The present windows of a subject, "<kind>:<id>"."""
        return f"{self.prefix}subject:{subject}"

    def seen(self, topic: str, partition: int) -> tuple[str, str, str]:
        """Its latest events that are in the windows, by which calls, and what once said so."""
        begin = f"{self.prefix}signals:{topic}:{partition}"
        return f"{begin}:known", f"{begin}:calls", f"{begin}:seen"


_ALERT_ID = re.compile(r"[0-9a-f]{16}-[0-9]{1,10}")


def is_alert_id(text: str) -> bool:
    """Whether an alert can have this id; what can't be one may lead to another key in Redis."""
    return bool(_ALERT_ID.fullmatch(text))
