"""A bound on what a compressed batch may unpack to, which aiokafka does not have.

A broker limits a batch as it is sent; gzip packs a thousandfold and zstd thirty-thousandfold, so
one batch could take more memory than there is. A batch of more than MAX_UNPACKED_BYTES is handed on
as one record that holds it as it was sent, and becomes a dead letter. Snappy packs some twentyfold
at most and is left alone, as are the formats from before Kafka 0.11. This is the only file that
knows aiokafka's private parts for that; tests/unit/stream/connections/test_unpack.py fails when
they change.
"""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cramjam
from aiokafka.consumer import fetcher
from aiokafka.record import default_records, memory_records

from stream.connections.header_names import with_any_names
from stream.ingest.dead_letter import UNPACKS_TO_TOO_MUCH

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
# Room for what JSON usually unpacks to, so that nearly every batch is unpacked once.
USUAL_RATIO = 16
LEAST_ROOM_BYTES = 64 * 1024
GROWTH = 8
# Where a batch says how many bytes follow.
LENGTH_BEGINS, LENGTH_ENDS = 8, 12
# cramjam raises one error for all faults; its words for an output that is full.
NO_ROOM = "failed to write whole buffer"


def bound_unpacking() -> None:
    """Make every aiokafka consumer of this process keep the bound. Call it as often as you like."""
    fetcher.MemoryRecords = _Batches
    # The class in use is compiled or plain; it looks its decoders up in the module it is from.
    module: Any = sys.modules[default_records.DefaultRecordBatch.__module__]
    module.gzip_decode, module.lz4_decode, module.zstd_decode = _gunzip, _unlz4, _unzstd


class _TooMuchError(Exception):
    """A batch, as it was sent, whose records are more than MAX_UNPACKED_BYTES."""

    def __init__(self, compression: str, packed: bytes) -> None:
        super().__init__(f"more than {MAX_UNPACKED_BYTES} bytes with {compression}")
        self.packed = packed


@dataclass(frozen=True)
class _StandIn:
    """In place of a batch's records: the last of its offsets, and the batch as its value."""

    offset: int
    timestamp: int | None
    timestamp_type: int | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    key: None = None
    checksum: None = None


class _Batches:
    """aiokafka's MemoryRecords, with batches that keep the bound."""

    def __init__(self, fetched: bytes) -> None:
        inner = memory_records.MemoryRecords(fetched)
        self._left = memoryview(fetched)
        self.has_next = inner.has_next
        self.size_in_bytes = inner.size_in_bytes
        self._next_batch = inner.next_batch

    def next_batch(self) -> _Batch | None:
        batch = self._next_batch()
        if batch is None:
            return None
        size = LENGTH_ENDS + int.from_bytes(self._left[LENGTH_BEGINS:LENGTH_ENDS])
        sent, self._left = self._left[:size], self._left[size:]
        return _Batch(batch, sent)


class _Batch:
    """One batch; its records are unpacked when they are first asked for."""

    def __init__(self, batch: Any, sent: memoryview) -> None:
        self._batch = batch
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            # From the first one on; the fetcher passes over those that it has had.
            yield from with_any_names(self._sent)
        except _TooMuchError as error:
            yield _StandIn(
                offset=self._batch.next_offset - 1,
                timestamp=self._batch.max_timestamp,
                timestamp_type=self._batch.timestamp_type,
                value=error.packed,
                headers=[(UNPACKS_TO_TOO_MUCH, str(error).encode())],
            )


def _gunzip(packed: Any) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        unpacked = file.read(MAX_UNPACKED_BYTES + 1)
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise _TooMuchError("gzip", bytes(packed))
    return unpacked


def _unlz4(packed: Any) -> bytes:
    return _unpacked(packed, "lz4", cramjam.lz4.decompress_into)


def _unzstd(packed: Any) -> bytes:
    return _unpacked(packed, "zstd", cramjam.zstd.decompress_into)


def _unpacked(packed: Any, compression: str, unpack_into: Callable[[Any, bytearray], int]) -> bytes:
    room = min(MAX_UNPACKED_BYTES, max(LEAST_ROOM_BYTES, USUAL_RATIO * len(packed)))
    while True:
        unpacked = bytearray(room)
        try:
            size = unpack_into(packed, unpacked)
        except cramjam.DecompressionError as error:
            if NO_ROOM not in str(error):
                raise
        else:
            return bytes(memoryview(unpacked)[:size])
        if room == MAX_UNPACKED_BYTES:
            raise _TooMuchError(compression, bytes(packed))
        room = min(MAX_UNPACKED_BYTES, room * GROWTH)
