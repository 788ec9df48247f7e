"""Records survive the wire unchanged."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.spec import BatchInfo, HeadScore
from stream.connections.outbox import MAX_REQUEST_BYTES
from stream.ingest.dead_letter import DeadLetter
from stream.records import Origin, Scored, Subject, decode_scored, encode

NOW = datetime(2026, 3, 12, 10, 10, tzinfo=UTC)


def scored(**changes: object) -> Scored:
    fields: dict[str, object] = {
        "id": "n-1",
        "source": "news",
        "origin": Origin("news", 0, 7),
        "time": NOW,
        "received_at": NOW,
        "scored_at": NOW,
        "title": "Halcyon halts",
        "text": "Trading in Halcyon was halted.",
        "author": "Harbour Wire",
        "customer": "",
        "lang": "en",
        "subjects": (Subject("ticker", "HALC"),),
        "heads": {"risk": HeadScore("high", 0.9, {"low": 0.1, "high": 0.9}, abstained=False)},
        "unreadable": "",
        "model": "m1",
        "batch": BatchInfo(3, 96, 1.5, "idle"),
        "attributes": {"desk": "eu"},
    }
    return Scored(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_scored_record_has_the_fields_of_the_contract() -> None:
    record = orjson.loads(encode(scored()))
    assert set(record) >= {
        "id",
        "source",
        "origin",
        "time",
        "received_at",
        "scored_at",
        "text",
        "lang",
        "subjects",
        "heads",
        "model",
        "batch",
        "attributes",
    }
    assert record["time"] == "2026-03-12T10:10:00Z"
    assert record["origin"] == {"topic": "news", "partition": 0, "offset": 7}
    assert record["heads"]["risk"] == {
        "label": "high",
        "confidence": 0.9,
        "scores": {"low": 0.1, "high": 0.9},
        "abstained": False,
    }
    assert record["batch"] == {
        "size": 3,
        "tokens": 96,
        "waited_ms": 1.5,
        "released_by": "idle",
        "padding": 0,
    }


def test_a_scored_record_reads_back_equal() -> None:
    assert decode_scored(encode(scored())) == scored()


@given(
    value=st.none() | st.binary(max_size=300),
    key=st.none() | st.binary(max_size=20),
    header=st.binary(max_size=20),
)
def test_a_dead_letter_keeps_every_byte(
    value: bytes | None, key: bytes | None, header: bytes
) -> None:
    letter = DeadLetter(
        origin=Origin("news", 1, 2),
        reason="not_json",
        field="",
        detail="",
        key=key,
        value=value,
        headers=(("trace", header),),
        time=NOW,
    )
    assert DeadLetter.decode(letter.encode()) == letter


@pytest.mark.parametrize("content", [b"\x00" * 1_000, b"\xff\xfe" * 500, b"plain " * 200])
def test_a_dead_letter_is_little_larger_than_what_it_wraps(content: bytes) -> None:
    letter = DeadLetter(
        origin=Origin("news", 1, 2),
        reason="not_json",
        field="",
        detail="",
        key=None,
        value=content,
        time=NOW,
    )
    assert len(letter.encode()) <= 1.5 * len(content) + 400


def test_a_dead_letter_too_large_for_its_topic_is_cut_and_says_how_long_it_was() -> None:
    letter = DeadLetter(
        origin=Origin("news", 1, 2),
        reason="oversize",
        field="",
        detail="",
        key=None,
        value=b"\x00" * 9_000_000,
        time=NOW,
    )
    encoded = letter.encode()
    assert len(encoded) < 6_000_000
    assert orjson.loads(encoded)["value_bytes"] == 9_000_000
    assert DeadLetter.decode(encoded).value == b"\x00" * 4_000_000


class Raw(NamedTuple):
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None = b"\x01" * 9_000_000
    topic: str = "news"
    partition: int = 1
    offset: int = 2
    timestamp: int = -1


@pytest.mark.parametrize(
    ("key", "headers", "left_out"),
    [
        (b"\xff" * 262_144, (("\x01" * 262_000, b"v"), ("none", None)), ()),
        (b"k" * 262_145, (("h", b"v"),), ("key",)),
        (None, (("h" * 200_000, b"v" * 200_000),), ("headers",)),
        (b"k" * 9_000_000, (("h", b"v" * 9_000_000),), ("key", "headers")),
    ],
)
def test_a_dead_letter_of_any_record_fits_a_request(
    key: bytes | None, headers: tuple[tuple[str, bytes | None], ...], left_out: tuple[str, ...]
) -> None:
    letter = DeadLetter.of(Raw(key, headers), NOW, reason="oversize", field="", detail="d")
    wire = letter.encode()
    assert len(wire) + len(letter.key or b"") < MAX_REQUEST_BYTES
    again = DeadLetter.decode(wire)
    assert again.left_out == left_out
    assert again.key == (None if "key" in left_out else key)
    assert all(f"its {part}" in again.missing for part in left_out)
    assert "all but 4000000 of its 9000000 bytes" in again.missing


def test_a_header_without_a_value_is_an_empty_one() -> None:
    headers = (("bellwether-replay-of", None), ("trace", None))
    letter = DeadLetter.of(Raw(b"k", headers, b"x"), NOW, reason="bad", field="", detail="")
    assert letter.headers == (("bellwether-replay-of", b""), ("trace", b""))
    assert letter.first == letter.id
    assert DeadLetter.decode(letter.encode()).missing == ""
