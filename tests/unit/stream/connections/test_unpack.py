"""What a compressed batch may unpack to, through the classes that aiokafka's fetcher uses."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record import default_records
from aiokafka.structs import TopicPartition

from stream.connections.unpack import MAX_UNPACKED_BYTES, bound_unpacking
from stream.ingest.dead_letter import UNPACKS_TO_TOO_MUCH

PACKED = {1: "gzip", 3: "lz4", 4: "zstd"}
TEXT = b'{"text": "as long as it is new"}'


@pytest.fixture(autouse=True)
def bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.connections.unpack.MAX_UNPACKED_BYTES", 1_000_000)
    bound_unpacking()


def batch(codec: int, values: list[bytes]) -> bytes:
    builder = default_records.DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 10**9)
    for offset, value in enumerate(values):
        builder.append(offset, timestamp=1000 + offset, key=b"k", value=value, headers=[])
    return bytes(builder.build())


def read(fetched: bytes) -> list[Any]:
    """As aiokafka's fetcher reads: checksum first, then the records."""
    batches = fetcher.MemoryRecords(fetched)
    found = []
    while batches.has_next():
        one = batches.next_batch()
        assert one.validate_crc()
        assert not one.is_control_batch
        found += list(one)
    return found


@pytest.mark.parametrize("codec", [0, 2, *PACKED])
@pytest.mark.parametrize("values", [[TEXT] * 3, [b""], [b"x" * 900_000, TEXT]])
def test_a_batch_within_the_bound_is_read_as_ever(codec: int, values: list[bytes]) -> None:
    records = read(batch(codec, values))
    assert [record.value for record in records] == values
    assert [record.offset for record in records] == list(range(len(values)))


@pytest.mark.parametrize("codec", PACKED)
def test_a_batch_beyond_it_is_one_record_and_the_next_batch_is_read(codec: int) -> None:
    bomb = batch(codec, [b"\0" * 600_000] * 5)
    stand_in, after = read(bomb + batch(codec, [TEXT]))
    assert (stand_in.offset, stand_in.timestamp, stand_in.key) == (4, 1004, None)
    size = f"more than 1000000 bytes with {PACKED[codec]}"
    assert stand_in.headers == [(UNPACKS_TO_TOO_MUCH, size.encode())]
    assert bomb.endswith(stand_in.value)
    assert after.value == TEXT


class Latin(str):
    """A name that is sent in Latin-1, as a client in C may do."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return super().encode("latin-1")


@pytest.mark.parametrize("codec", [0, 2, *PACKED])
def test_a_header_whose_name_is_not_utf_8_holds_up_no_partition(codec: int) -> None:
    builder = default_records._DefaultRecordBatchBuilderPy(2, codec, False, -1, -1, -1, 10**9)
    names = ["plain", "Größe", Latin("Größe"), "plain"]
    for offset, name in enumerate(names):
        builder.append(offset, timestamp=7, key=None, value=TEXT, headers=[(name, b"1")])
    fetched = fetcher.MemoryRecords(bytes(builder.build()) + batch(codec, [TEXT] * 5))
    place = TopicPartition("news", 0)
    records = list(fetcher.PartitionRecords(place, fetched, [], 0, None, None, True, 1))
    assert [(one.offset, one.value) for one in records] == [(at, TEXT) for at in range(5)]
    told = [(name, b"1") for name in ["plain", "Größe", "Gr\ufffd\ufffde", "plain"]]
    assert [one.headers for one in records] == [*((one,) for one in told), ()]
    assert [one.timestamp for one in records] == [7, 7, 7, 7, 1004]


@pytest.mark.parametrize("codec", [3, 4])
def test_a_broken_batch_is_not_taken_for_a_large_one(codec: int) -> None:
    broken = bytearray(batch(codec, [TEXT] * 100))
    broken[-20:-10] = b"0123456789"
    with pytest.raises(Exception, match=r"frame|corrupt|checksum|Checksum"):
        list(fetcher.MemoryRecords(bytes(broken)).next_batch())


def test_the_parts_replaced_are_still_where_they_were() -> None:
    assert MAX_UNPACKED_BYTES > 60_000_000
    source = inspect.getsource(fetcher)
    assert "records = MemoryRecords(" in source
    assert "for record in next_batch:" in source
    unpacking = inspect.getsource(default_records._DefaultRecordBatchPy._maybe_uncompress)
    for name in ("gzip_decode(", "lz4_decode(", "zstd_decode("):
        assert name in unpacking
    assert "record.offset < self.next_fetch_offset" in source
