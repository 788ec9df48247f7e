"""Feedback into labels: the latest word of each author, the majority, and who disagrees. Pure."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from models.spec import Head
from stream.ingest.text import clean_text
from trainer.data.dataset import text_identity
from trainer.data.row_text import MAX_CHARS
from trainer.labels.feedback import Accepted, Text
from trainer.labels.words import by_event, latest_words

# Of a version's lineage; more would only be labels that wait for events that never come.
MOST_WAITING = 1_000


class Label(msgspec.Struct, frozen=True):
    """What people agree on about one event and one head.

    authors are those who say so, not whom they outvoted; places are (partition, offset) of it.
    """

    event_id: str
    head: str
    label: str
    text: str
    source: str
    authors: tuple[str, ...]
    places: tuple[tuple[int, int], ...]

    def newer_than(self, read_up_to: Mapping[str, Any]) -> bool:
        """Whether any of it was no label yet when Settled.read_up_to was this."""
        return any(
            offset >= read_up_to.get(str(part), 0) or offset in read_up_to.get(_waiting(part), ())
            for part, offset in self.places
        )


class Settled(msgspec.Struct, frozen=True):
    """All feedback so far, summed up.

    disputed are (event id, head) on which as many people say one thing as another, of that event or
    of others with its text; unknown those whose event nobody has seen yet; ambiguous those whose
    event id two sources use; unreadable those whose text the model is set not to read. repeats and
    corrections count records that only say again, or take back, what their author said. waiting are
    the (partition, offset) of what is none yet, and may become one as it stands.
    fingerprint names the labels whatever order their feedback came in.
    """

    labels: tuple[Label, ...]
    disputed: tuple[tuple[str, str], ...]
    unknown: tuple[tuple[str, str], ...]
    ambiguous: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    waiting: tuple[tuple[int, int], ...]
    repeats: int
    corrections: int
    fingerprint: str

    def __str__(self) -> str:
        return (
            f"{len(self.labels)} labels; {len(self.disputed)} disputed, {len(self.unknown)} of "
            f"unknown events, {self.repeats} repeats, {self.corrections} corrections"
        )

    @property
    def read_up_to(self) -> dict[str, Any]:
        """What tells labels new to a fit: see Label.newer_than.

        By partition the offset after the last label's, and the offsets before it that wait.
        """
        ends: dict[str, Any] = {}
        for partition, offset in (place for one in self.labels for place in one.places):
            ends[str(partition)] = max(ends.get(str(partition), 0), offset + 1)
        latest = sorted(self.waiting, key=lambda place: place[::-1])[-MOST_WAITING:]
        for partition, offset in latest:
            if offset < ends.get(str(partition), 0):
                ends.setdefault(_waiting(partition), []).append(offset)
        return ends


class _OfEvent(msgspec.Struct, frozen=True):
    """As Settled, of one event: heads instead of places, and the digest of the labels.

    identities are those of the labels' texts.
    """

    labels: tuple[Label, ...]
    identities: tuple[str, ...]
    disputed: tuple[str, ...]
    unknown: tuple[str, ...]
    ambiguous: tuple[str, ...]
    unreadable: tuple[str, ...]
    waiting: tuple[tuple[int, int], ...]
    repeats: int
    corrections: int
    digest: bytes


class Settlement:
    """What people agree on, kept event by event.

    So an event that somebody speaks of costs its own records, not all there are; and what is kept
    grows with the labels, not with how often they were said.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        """Labels of other heads, or that a head does not have, are left out."""
        self.heads = tuple(heads)
        self._known = {(head.name, label) for head in heads for label in head.labels}
        self._events: dict[str, _OfEvent] = {}

    def take(self, event_id: str, accepted: Sequence[Accepted], texts: Sequence[Text]) -> None:
        """All that was said of one event, and every text that was seen under its id.

        Each author's latest word counts (by time, then id); of several authors the majority.
        """
        labels: list[Label] = []
        disputed: list[str] = []
        unknown: list[str] = []
        ambiguous: list[str] = []
        unreadable: list[str] = []
        waiting: list[tuple[int, int]] = []
        repeats = corrections = 0
        for head, words in by_event(accepted):
            latest, again, changed = latest_words(words)
            repeats, corrections = repeats + again, corrections + changed
            # Whoever's last word is a label that there is no more has no vote.
            said = [one for one in latest if (head, one.feedback.label) in self._known]
            votes = Counter(one.feedback.label for one in said)
            if not votes:
                continue
            (label, most), *others = votes.most_common(2)
            if others and others[0][1] == most:
                disputed.append(head)
                waiting += _places(said)
                continue
            found = _texts_of(words, texts)
            if len(found) != 1:
                (ambiguous if found else unknown).append(head)
                waiting += _places(said)
            elif found[0].unreadable:
                unreadable.append(head)
            else:
                agreed = [one for one in said if one.feedback.label == label]
                labels.append(_label((event_id, head), label, found[0], agreed))
        self._events[event_id] = _OfEvent(
            labels=tuple(labels),
            identities=tuple(text_identity(one.text) for one in labels),
            disputed=tuple(disputed),
            unknown=tuple(unknown),
            ambiguous=tuple(ambiguous),
            unreadable=tuple(unreadable),
            waiting=tuple(waiting),
            repeats=repeats,
            corrections=corrections,
            digest=_digest(labels),
        )

    def settled(self) -> Settled:
        """All events summed up, in the order of their ids.

        Where several have one text, what most people say of them holds for it, and their labels are
        of those people.
        """
        events = sorted(self._events.items())
        digest = hashlib.sha256(b"".join(one.digest for _, one in events))
        labels, outvoted, tied = _agreed_on_copies(
            pair for _, one in events for pair in zip(one.labels, one.identities, strict=True)
        )
        disputed = [(name, head) for name, one in events for head in one.disputed]
        none_yet = [place for _, one in events for place in one.waiting]
        return Settled(
            labels=tuple(labels),
            disputed=tuple(sorted([*disputed, *((one.event_id, one.head) for one in tied)])),
            unknown=tuple((name, head) for name, one in events for head in one.unknown),
            ambiguous=tuple((name, head) for name, one in events for head in one.ambiguous),
            unreadable=tuple((name, head) for name, one in events for head in one.unreadable),
            waiting=tuple(
                sorted([*none_yet, *(place for one in [*outvoted, *tied] for place in one.places)])
            ),
            repeats=sum(one.repeats for _, one in events),
            corrections=sum(one.corrections for _, one in events),
            fingerprint=digest.hexdigest()[:16],
        )


def _agreed_on_copies(
    said: Iterable[tuple[Label, str]],
) -> tuple[list[Label], list[Label], list[Label]]:
    """Labels with the identities of their texts: those that hold, the outvoted, and the tied."""
    said = [*said]
    first: dict[tuple[str, str], str] = {}
    votes: dict[tuple[str, str], Counter[str]] = {}
    for label, identity in said:
        place = (label.head, identity)
        if first.setdefault(place, label.label) != label.label:
            votes[place] = Counter()
    if not votes:
        return [label for label, _ in said], [], []
    for label, identity in said:
        if (own := votes.get((label.head, identity))) is not None:
            own[label.label] += len(label.authors)
    agreed: list[Label] = []
    outvoted: list[Label] = []
    tied: list[Label] = []
    for label, identity in said:
        own = votes.get((label.head, identity)) or Counter((label.label,))
        (_, most), *others = own.most_common(2)
        lost, even = own[label.label] < most, bool(others) and others[0][1] == most
        (outvoted if lost else tied if even else agreed).append(label)
    return agreed, outvoted, tied


def labels_of(labels: Iterable[Label], texts: Mapping[str, Sequence[str]]) -> list[Label]:
    """The labels of these texts, which are by head, in their order.

    A copy of another event's text stands for both, under the text of one of them.
    """
    said = {(one.head, one.text): one for one in labels}
    places = ((head, text) for head, of_head in texts.items() for text in of_head)
    return [said[place] for place in places if place in said]


def _digest(labels: Iterable[Label]) -> bytes:
    """Empty without labels, so that what teaches nothing changes nothing."""
    said = [(one.event_id, one.head, one.label, one.text, one.source) for one in labels]
    return hashlib.sha256(msgspec.json.encode(said)).digest() if said else b""


def _label(place: tuple[str, str], label: str, found: Text, agreed: Sequence[Accepted]) -> Label:
    return Label(
        event_id=place[0],
        head=place[1],
        label=label,
        text=found.text,
        source=found.source,
        authors=tuple(sorted(one.feedback.author for one in agreed)),
        places=tuple(_places(agreed)),
    )


def _places(said: Iterable[Accepted]) -> list[tuple[int, int]]:
    return sorted((one.partition, one.offset) for one in said)


def _waiting(partition: int) -> str:
    return f"{partition} waiting"


def _texts_of(accepted: Iterable[Accepted], seen: Sequence[Text]) -> list[Text]:
    """The texts that these people can have meant: those seen, else the last of their own, cleaned.

    Of each kind of source the last: a ticket that is edited comes again under its id.
    """
    said = [one.feedback for one in accepted]
    sources = {one.source for one in said if one.source}
    latest = {text.source: text for text in seen if not sources or text.source in sources}
    if latest:
        return [*latest.values()]
    own = [Text(clean_text(one.text, MAX_CHARS), one.source) for one in said]
    return [one for one in own if one.text][-1:]
