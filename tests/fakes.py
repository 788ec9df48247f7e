"""Records made by hand, the way tests need them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from redis.asyncio import Redis

from models.spec import DEFAULT_HEADS, BatchInfo, Head, HeadScore, Scores
from stream.names import Keys
from stream.notify.notification import Notification
from stream.records import Alert, Event, Evidence, Origin, Scored, Subject
from stream.signals.windows import SUMS, Windows
from trainer.labels.feedback import Accepted, Text
from trainer.labels.settlement import Settled, Settlement

NOON = datetime(2026, 3, 12, 12, tzinfo=UTC)


def scores(*, abstained: tuple[str, ...] = (), **labels: str | tuple[str, float]) -> Scores:
    """Answers of the default heads; label or (label, confidence) by head name."""
    answers: Scores = {}
    for head in DEFAULT_HEADS:
        wanted = labels.get(head.name, (head.labels[0], 0.95))
        label, confidence = wanted if isinstance(wanted, tuple) else (wanted, 0.95)
        rest = (1 - confidence) / (len(head.labels) - 1)
        answers[head.name] = HeadScore(
            label=label,
            confidence=confidence,
            scores={name: confidence if name == label else rest for name in head.labels},
            abstained=head.name in abstained,
        )
    return answers


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "id": "e-1",
        "source": "news",
        "origin": Origin("news", 0, 1),
        "key": b"k",
        "text": "Halcyon lost its largest customer.",
        "time": NOON,
        "received_at": NOON,
    }
    return Event(**{**fields, **changes})


def scored(*, after_s: float = 0, **changes: Any) -> Scored:
    fields: dict[str, Any] = {
        "id": "e-1",
        "source": "news",
        "origin": Origin("news", 0, 1),
        "time": NOON + timedelta(seconds=after_s),
        "received_at": NOON,
        "scored_at": NOON,
        "title": "",
        "text": "Halcyon lost its largest customer.",
        "author": "",
        "customer": "",
        "lang": "en",
        "subjects": (Subject("ticker", "HALC"),),
        "heads": scores(sentiment="negative"),
        "unreadable": "",
        "model": "m-1",
        "batch": BatchInfo(1, 8, 0.1, "idle"),
        "attributes": {},
    }
    return Scored(**{**fields, **changes})


def alert(**changes: Any) -> Alert:
    fields: dict[str, Any] = {
        "id": "0123456789abcdef-1",
        "fingerprint": "0123456789abcdef",
        "episode": 1,
        "sequence": 1,
        "rule": "r",
        "rule_version": "v",
        "severity": "warning",
        "state": "firing",
        "subject": "ticker:HALC",
        "title": "Trouble",
        "summary": "Halcyon lost its largest customer.",
        "first_seen": NOON,
        "last_seen": NOON,
        "count": 1,
        "evidence": (Evidence("e-1", "news", NOON, "Halcyon lost.", scores()),),
        "signal": {},
        "model": "m-1",
    }
    return Alert(**{**fields, **changes})


def notification(identity: str = "n-1", **changes: Any) -> Notification:
    fields: dict[str, Any] = {
        "id": identity,
        "receiver": "pager",
        "reason": "new",
        "status": "firing",
        "group": "g-1",
        "group_labels": {"rule": "r"},
        "firing": 1,
        "resolved": 0,
        "truncated": 0,
        "alerts": (alert(),),
        "created_at": NOON,
    }
    return Notification(**{**fields, **changes})


def sums(windows: Windows) -> dict[str, float]:
    """By name, as of its at_us."""
    weights = {"long": windows.long_weight}
    return {
        name: total / weights.get(name.partition("_")[0], windows.short_weight)
        for name, total in zip(SUMS, windows.sums, strict=True)
    }


def settle(
    accepted: Iterable[Accepted], texts: Mapping[str, Sequence[Text]], heads: Sequence[Head]
) -> Settled:
    """All that was said in one go. texts has for an event id every text seen under it."""
    by_event: dict[str, list[Accepted]] = defaultdict(list)
    for one in accepted:
        by_event[one.feedback.event_id].append(one)
    settlement = Settlement(heads)
    for event_id, said in by_event.items():
        settlement.take(event_id, said, texts.get(event_id, ()))
    return settlement.settled()


async def pass_time(client: Redis, *alert_ids: str, past_s: float) -> None:
    """For Redis the last transition of these alerts, or of all open ones, is so much longer ago."""
    names = alert_ids or [name.decode() for name in await client.zrange(Keys().alerts_open, 0, -1)]
    for name in names:
        left_ms = await client.pttl(Keys().alert(name))
        await client.pexpire(Keys().alert(name), left_ms - round(past_s * 1000))
