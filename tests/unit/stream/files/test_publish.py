"""Lines reach the topic their source names, at the rate asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from stream.config.settings import load_settings
from stream.connections.outbox import Outgoing
from stream.files.publish import Addresser, publish
from stream.ingest.dead_letter import DeadLetter

FILE = Path("feed.jsonl")


def address(line: bytes) -> Outgoing:
    return Addresser(load_settings(None)).address(FILE, 3, line)


class Outbox:
    def __init__(self) -> None:
        self.sent: list[Outgoing] = []

    async def send(self, records: Sequence[Outgoing]) -> None:
        self.sent.extend(records)


@pytest.mark.parametrize(
    ("source", "topic"), [("news", "news"), ("social", "social"), ("ticket", "tickets")]
)
def test_source_names_the_topic_and_the_line_travels_unchanged(source: str, topic: str) -> None:
    line = orjson.dumps({"source": source, "id": "a-1", "text": "hello"})
    assert address(line) == Outgoing(topic, b"a-1", line)


def test_a_line_that_is_no_json_object_goes_to_the_worker_as_it_is() -> None:
    assert address(b"not json") == Outgoing("news", None, b"not json")
    assert address(b"[1]") == Outgoing("news", None, b"[1]")


@pytest.mark.parametrize("line", [b'{"text": "a"}', b'{"source": "mail"}', b'{"source": ["news"]}'])
def test_an_unknown_source_is_a_dead_letter_that_says_where_it_stood(line: bytes) -> None:
    outgoing = address(line)
    assert outgoing.topic == "bellwether.dead-letter"
    letter = DeadLetter.decode(outgoing.value)
    assert (letter.reason, letter.field, letter.value) == ("unknown_source", "source", line)
    assert letter.origin.topic == "feed.jsonl"
    assert letter.origin.offset == 3


@pytest.mark.parametrize("said", ["", '"source": null, ', '"source": " ", '])
def test_a_line_need_not_name_the_only_kind(said: str) -> None:
    settings = load_settings(None)
    tickets = settings.model_copy(update={"sources": settings.sources[2:]})
    line = f'{{{said}"text": "a"}}'.encode()
    assert Addresser(tickets).address(FILE, 3, line) == Outgoing("tickets", None, line)
    wrong = Addresser(tickets).address(FILE, 3, b'{"source": "news", "text": "a"}')
    assert wrong.topic == "bellwether.dead-letter"


def test_what_is_refused_is_counted_by_reason() -> None:
    addresser = Addresser(load_settings(None))
    for line in (b'{"source": "mail"}', b'{"source": "news"}', b"not json", b'{"text": "a"}'):
        addresser.address(FILE, 1, line)
    assert addresser.refused == {"unknown_source": 2}


async def test_publish_sends_every_line_and_never_more_than_there_is_room_for() -> None:
    outbox = Outbox()
    waiting = 0
    most = 0

    def room() -> int:
        return 10 - waiting

    def published(batch: Sequence[Outgoing]) -> None:
        nonlocal waiting, most
        most = max(most, len(batch))
        waiting = (waiting + len(batch)) % 10  # the reader takes what it was given

    lines = [(FILE, n, orjson.dumps({"source": "news", "id": n})) for n in range(95)]
    await publish(
        lines,
        addresser=Addresser(load_settings(None)),
        outbox=outbox,
        rate=None,
        published=published,
        room=room,
    )
    assert [record.key for record in outbox.sent] == [str(n).encode() for n in range(95)]
    assert most <= 10
