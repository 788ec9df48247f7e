"""Tone, volume and sources around subjects, from recent scored events. Pure.

Tone of an event is P(positive) - P(negative), in -1..1; what the model is unsure of counts towards
the volume alone, as in the windows. Copies (low novelty) count less, as in relevance x novelty.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from stream.names import SourceKind
from stream.records import Scored, Subject

SPANS_S = (60, 300, 900, 3_600, 10_800, 21_600, 86_400, 604_800)
"""Widths of a bucket to choose from, in seconds."""
BUCKETS = 48
SHOWN_EVENTS = 60
TEXT_CHARS = 400


class Bucket(msgspec.Struct, frozen=True):
    """Events from start on for the view's width; tone is None where none of them has one."""

    start: datetime
    volume: int
    tone: float | None
    alerts: int = 0


class Busy(msgspec.Struct, frozen=True):
    """One subject of the heat map, with its tone by bucket."""

    kind: str
    id: str
    volume: int
    tone: float | None
    sources: dict[str, int]
    tones: tuple[float | None, ...]
    volumes: tuple[int, ...]


class Told(msgspec.Struct, frozen=True):
    """An event on a subject's page."""

    id: str
    source: SourceKind
    time: datetime
    title: str
    text: str
    sentiment: str
    tone: float | None
    model: str


class View(msgspec.Struct, frozen=True):
    """A subject in the kept events: width of a bucket in seconds, buckets from the oldest on."""

    kind: str
    id: str
    width_s: int
    buckets: tuple[Bucket, ...]
    sources: dict[str, int]
    labels: dict[str, int]
    events: tuple[Told, ...]


class HeatMap(msgspec.Struct, frozen=True):
    width_s: int
    starts: tuple[datetime, ...]
    subjects: tuple[Busy, ...]


def heat_map(scored: Sequence[Scored], *, limit: int) -> HeatMap:
    """The busiest subjects of the kept events, the busiest first. Sources are no subjects here."""
    if not scored:
        return HeatMap(SPANS_S[0], (), ())
    starts, width = _buckets(scored)
    by_subject: dict[tuple[str, str], list[tuple[Scored, Subject]]] = defaultdict(list)
    for event in scored:
        for subject in event.subjects:
            if subject.kind not in {"source", "customer"}:
                by_subject[subject.kind, subject.id].append((event, subject))
    busiest = sorted(by_subject.items(), key=lambda item: (-len(item[1]), item[0]))[:limit]
    subjects = tuple(
        Busy(
            kind,
            name,
            len(events),
            _tone(events),
            dict(Counter(event.source for event, _ in events)),
            *_by_bucket(events, starts, width),
        )
        for (kind, name), events in busiest
    )
    return HeatMap(width, tuple(starts), subjects)


def view_of(
    scored: Sequence[Scored], kind: str, name: str, fired: Iterable[datetime]
) -> View | None:
    """One subject; None where no kept event is about it. fired are the times of its alerts."""
    events = [
        (event, subject)
        for event in scored
        for subject in event.subjects
        if (subject.kind, subject.id) == (kind, name)
    ]
    if not events:
        return None
    starts, width = _buckets([event for event, _ in events])
    tones, volumes = _by_bucket(events, starts, width)
    marks = Counter(_place(time, starts[0], width) for time in fired)
    latest = sorted((event for event, _ in events), key=lambda event: event.time, reverse=True)
    return View(
        kind,
        name,
        width,
        tuple(
            Bucket(start, volumes[place], tones[place], marks[place])
            for place, start in enumerate(starts)
        ),
        dict(Counter(event.source for event, _ in events)),
        dict(Counter(_sentiment(event) for event, _ in events)),
        tuple(_told(event) for event in latest[:SHOWN_EVENTS]),
    )


def tone(event: Scored) -> float | None:
    answer = event.heads.get("sentiment")
    if answer is None or answer.abstained:
        return None
    return answer.scores.get("positive", 0.0) - answer.scores.get("negative", 0.0)


def _sentiment(event: Scored) -> str:
    answer = event.heads.get("sentiment")
    return "unsure" if answer is None or answer.abstained else answer.label


def _told(event: Scored) -> Told:
    return Told(
        event.id,
        event.source,
        event.time,
        event.title,
        event.text[:TEXT_CHARS],
        _sentiment(event),
        tone(event),
        event.model,
    )


def _buckets(scored: Sequence[Scored]) -> tuple[list[datetime], int]:
    """Starts of at most BUCKETS buckets that end with the latest event, and their width."""
    times = sorted(event.time.timestamp() for event in scored)
    # A few very old events must not stretch the view until the others are one bucket.
    first, last = times[len(times) // 20], times[-1]
    width = next((span for span in SPANS_S if (last - first) / span < BUCKETS), SPANS_S[-1])
    end = int(last // width) * width
    number = min(int((end - first) // width) + 2, BUCKETS)
    return [
        datetime.fromtimestamp(end - back * width, UTC) for back in reversed(range(number))
    ], width


def _place(time: datetime, first: datetime, width: int) -> int:
    return int((time - first).total_seconds() // width)


def _by_bucket(
    events: Sequence[tuple[Scored, Subject]], starts: Sequence[datetime], width: int
) -> tuple[tuple[float | None, ...], tuple[int, ...]]:
    filled: dict[int, list[tuple[Scored, Subject]]] = defaultdict(list)
    for event, subject in events:
        filled[_place(event.time, starts[0], width)].append((event, subject))
    places = range(len(starts))
    return (
        tuple(_tone(filled.get(place, ())) for place in places),
        tuple(len(filled.get(place, ())) for place in places),
    )


def _tone(events: Iterable[tuple[Scored, Subject]]) -> float | None:
    total = weight = 0.0
    for event, subject in events:
        value = tone(event)
        if value is not None:
            share = subject.relevance * subject.novelty
            total += value * share
            weight += share
    return total / weight if weight else None
