"""Feedback as it arrives: checked against the model's heads, and settled into labels. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from models.spec import Head
from stream.records import FEEDBACK_VERSION, Feedback

MAX_FEEDBACK_BYTES = 64_000
MAX_NAME_CHARS = 200
# Clocks of different machines are never quite the same.
MAX_FUTURE = timedelta(minutes=5)

_Place = tuple[str, str]
_decode = msgspec.json.Decoder(Feedback).decode


class Refusal(NamedTuple):
    """Why a record of the feedback topic teaches nothing, and the field at fault."""

    reason: str
    field: str
    detail: str


class Text(NamedTuple):
    """An event's text as the model reads it, and the kind of source it came from."""

    text: str
    source: str


class Accepted(NamedTuple):
    """Feedback and where on its topic it stood."""

    partition: int
    offset: int
    feedback: Feedback


class Label(msgspec.Struct, frozen=True):
    """What people agree on about one event and one head; places are (partition, offset) of it."""

    event_id: str
    head: str
    label: str
    text: str
    source: str
    authors: tuple[str, ...]
    places: tuple[tuple[int, int], ...]

    def newer_than(self, read_up_to: Mapping[str, int]) -> bool:
        """Whether any of it stood at or after these next offsets by partition."""
        return any(offset >= read_up_to.get(str(part), 0) for part, offset in self.places)


class Settled(msgspec.Struct, frozen=True):
    """All feedback so far, summed up.

    disputed are (event id, head) on which as many people say one thing as another; unknown those
    whose event nobody has seen yet; ambiguous those whose event id two sources use. repeats and
    corrections count records that only say again, or take back, what their author said.
    """

    labels: tuple[Label, ...]
    disputed: tuple[tuple[str, str], ...]
    unknown: tuple[tuple[str, str], ...]
    ambiguous: tuple[tuple[str, str], ...]
    repeats: int
    corrections: int

    @property
    def fingerprint(self) -> str:
        """Names the labels whatever order their feedback came in."""
        digest = hashlib.sha256()
        for one in self.labels:
            said = (one.event_id, one.head, one.label, one.text, one.source)
            digest.update(msgspec.json.encode(said))
        return digest.hexdigest()[:16]

    @property
    def read_up_to(self) -> dict[str, int]:
        """By partition the offset after the last label's: where labels new to a fit begin."""
        ends: dict[str, int] = {}
        for partition, offset in (place for one in self.labels for place in one.places):
            ends[str(partition)] = max(ends.get(str(partition), 0), offset + 1)
        return ends


def read_feedback(
    payload: bytes | None, heads: Sequence[Head], now: datetime
) -> Feedback | Refusal:
    """A record of the feedback topic, or why it is refused. Unknown fields are ignored."""
    if not payload:
        return Refusal("empty", "", "the record has no value; send a JSON object")
    if len(payload) > MAX_FEEDBACK_BYTES:
        return Refusal(
            "too_large", "", f"has {len(payload)} bytes, {MAX_FEEDBACK_BYTES} at most are taken"
        )
    try:
        feedback = _decode(payload)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        return Refusal("wrong_type", path.rstrip("`"), message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Refusal("not_json", "", str(error))
    return _fault(feedback, heads, now) or feedback


def settle(
    accepted: Iterable[Accepted], texts: Mapping[str, Sequence[Text]], heads: Sequence[Head]
) -> Settled:
    """What people agree on. texts has for an event id every text that was seen under it.

    Each author's latest word counts (by time, then id); of several authors the majority. Labels of
    heads or labels that the model no longer has are left out.
    """
    said, repeats, corrections = _latest_words(accepted)
    known = {(head.name, label) for head in heads for label in head.labels}
    labels: list[Label] = []
    disputed, unknown, ambiguous = list[_Place](), list[_Place](), list[_Place]()
    for place, by_author in sorted(said.items()):
        votes = Counter(one.feedback.label for one in by_author.values())
        (label, most), *others = votes.most_common(2)
        if others and others[0][1] == most:
            disputed.append(place)
            continue
        found = _texts_of(by_author.values(), texts.get(place[0], ()))
        if len(found) != 1:
            (ambiguous if found else unknown).append(place)
        elif (place[1], label) in known:
            labels.append(_label(place, label, found[0], by_author))
    return Settled(
        labels=tuple(labels),
        disputed=tuple(disputed),
        unknown=tuple(unknown),
        ambiguous=tuple(ambiguous),
        repeats=repeats,
        corrections=corrections,
    )


def _latest_words(
    accepted: Iterable[Accepted],
) -> tuple[dict[_Place, dict[str, Accepted]], int, int]:
    """By event and head each author's latest word, with the numbers of repeats and corrections."""
    said: dict[_Place, dict[str, Accepted]] = defaultdict(dict)
    seen: set[tuple[str, str]] = set()
    repeats = corrections = 0
    for one in sorted(accepted, key=_when):
        feedback = one.feedback
        by_author = said[feedback.event_id, feedback.head]
        before = by_author.get(feedback.author)
        same = before is not None and before.feedback.label == feedback.label
        if same or (feedback.id, feedback.author) in seen:
            repeats += 1
            continue
        seen.add((feedback.id, feedback.author))
        corrections += before is not None
        by_author[feedback.author] = one
    return said, repeats, corrections


def _when(one: Accepted) -> tuple[datetime, str, int, int]:
    """The places last, so that the order of reading never decides."""
    return one.feedback.time, one.feedback.id, one.partition, one.offset


def _label(place: _Place, label: str, found: Text, by_author: Mapping[str, Accepted]) -> Label:
    return Label(
        event_id=place[0],
        head=place[1],
        label=label,
        text=found.text,
        source=found.source,
        authors=tuple(sorted(by_author)),
        places=tuple(sorted((one.partition, one.offset) for one in by_author.values())),
    )


def _fault(feedback: Feedback, heads: Sequence[Head], now: datetime) -> Refusal | None:
    if feedback.version != FEEDBACK_VERSION:
        return Refusal(
            "unknown_version",
            "version",
            f"is {feedback.version}; this program reads version {FEEDBACK_VERSION}",
        )
    for name in ("id", "event_id", "author"):
        value: str = getattr(feedback, name)
        if not value.strip():
            return Refusal("empty_field", name, "is empty; say who or what it is")
        if len(value) > MAX_NAME_CHARS:
            return Refusal("too_long", name, f"is longer than {MAX_NAME_CHARS} characters")
    return _time_fault(feedback.time, now) or _label_fault(feedback, heads)


def _time_fault(time: datetime, now: datetime) -> Refusal | None:
    if time.tzinfo is None:
        return Refusal("bad_time", "time", "has no time zone; write UTC, ISO 8601 with Z")
    if time > now + MAX_FUTURE:
        return Refusal("future_time", "time", f"{time.isoformat()} lies in the future")
    return None


def _label_fault(feedback: Feedback, heads: Sequence[Head]) -> Refusal | None:
    head = next((head for head in heads if head.name == feedback.head), None)
    if head is None:
        names = ", ".join(head.name for head in heads)
        return Refusal("unknown_head", "head", f"{feedback.head!r} is none of {names}")
    if feedback.label not in head.labels:
        labels = ", ".join(head.labels)
        return Refusal("unknown_label", "label", f"{feedback.label!r} is none of {labels}")
    return None


def _texts_of(accepted: Iterable[Accepted], seen: Sequence[Text]) -> list[Text]:
    """The different texts that these people can have meant: those seen, else their own."""
    said = [one.feedback for one in accepted]
    sources = {one.source for one in said if one.source}
    if not seen:
        return [Text(one.text.strip(), one.source) for one in said if one.text.strip()][:1]
    return list(dict.fromkeys(text for text in seen if not sources or text.source in sources))
