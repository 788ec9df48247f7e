"""Lines reach the topic their source names, at the rate asked for."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest

from stream.config.settings import load_settings
from stream.connections.outbox import Outgoing
from stream.files.publish import (
    FIRST_LINES,
    READ_BYTES,
    Addresser,
    InputError,
    count_lines,
    publish,
    read_lines,
)
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


def test_gzip_is_unpacked_and_blank_lines_are_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n\n  \n{"b": 2}\n'))
    assert list(read_lines([path])) == [(path, 1, b'{"a": 1}'), (path, 4, b'{"b": 2}')]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", 0),
        (b"{}", 1),
        (b"{}\n", 1),
        (b"{}\n\n{}", 3),
        (b"x" * READ_BYTES, 1),
        (b"x" * (READ_BYTES - 1) + b"\n", 1),
        (b"x" * READ_BYTES + b"\n" + b"y" * READ_BYTES, 2),
    ],
    ids=["empty", "one open", "one", "blank counts", "a block", "ends a block", "two blocks"],
)
def test_lines_are_counted_with_and_without_an_end(
    tmp_path: Path, content: bytes, lines: int
) -> None:
    plain, packed = tmp_path / "some.jsonl", tmp_path / "some.jsonl.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    assert count_lines(plain) == count_lines(packed) == lines


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jsonl can't be read"):
        list(read_lines([tmp_path / "absent.jsonl"]))
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(gzip.compress(b'{"a": 1}\n' * 10_000)[:-20])
    with pytest.raises(InputError, match=r"damaged\.gz can't be read"):
        list(read_lines([damaged]))
    packed = bytearray(gzip.compress(b'{"a": 1}\n' * 10_000))
    packed[12] ^= 0xFF
    damaged.write_bytes(packed)
    with pytest.raises(InputError, match=r"damaged\.gz can't be read"):
        list(read_lines([damaged]))


def test_lines_before_the_first_object_are_kept_and_a_byte_order_mark_is_none_of_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\nnot json\n')
    assert [line for _, _, line in read_lines([path])] == [b'{"a": 1}', b"not json"]
    path.write_bytes(b'not json\n[1]\n{"a": 1}\nnot json\n')
    assert [number for _, number, _ in read_lines([path])] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"id,text\n1,a card is lost\n", "no line .* looks like CSV"),
        (b'[\n  {\n    "text": "a"\n  }\n]\n', "looks like a JSON array"),
        (b'[{"text": "a"}, {"text": "b"}]', "looks like a JSON array"),
        (b'[kafka]\ngroup = "desk"\n', "looks like plain text"),
        (b'[[sources]]\ntopic = "news"\n', "looks like plain text"),
        (b'{\n  "text": "a"\n}\n', "looks like JSON over several lines"),
        ('{"text": "a"}\n{"text": "b"}\n'.encode("utf-16"), "looks like UTF-16"),
        ('{"text": "a"}\n'.encode("utf-16-be"), "looks like UTF-16"),
        ('{"text": "\u00e4"}'.encode("latin-1"), "not in UTF-8"),
        (b'{"text": a}', "first line is broken JSON"),
        (gzip.compress(b'{"text": "a"}', mtime=0), "ends in .gz is unpacked"),
        (b"a card is lost\n" * (FIRST_LINES + 1), "none of the first 1000 lines .* plain text"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_it_looks_like(
    tmp_path: Path, content: bytes, cause: str
) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"in\.csv: .*{cause}.*; give one JSON object a line"):
        list(read_lines([path]))


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
