"""Records whose headers have names in another encoding than UTF-8, as clients in C may write them.

aiokafka raises where it comes to one, and again each time that it fetches the record: whoever reads
the partition ends there for ever. It uses private parts of aiokafka as unpack.py does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, SupportsIndex

from aiokafka.record import default_records


def with_any_names(batch: memoryview) -> Iterator[Any]:
    """All records of a batch, as it was sent; U+FFFD stands for what is no UTF-8 in a name."""
    # The one that is not compiled cuts names out of a buffer that may be ours.
    records = default_records._DefaultRecordBatchPy(batch)  # noqa: SLF001
    records._maybe_uncompress()  # noqa: SLF001
    records._buffer = _Lenient(records._buffer)  # noqa: SLF001
    return iter(records)


class _Lenient(bytearray):
    """Of its slices, decode() never raises."""

    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        found = super().__getitem__(place)
        return found if isinstance(found, int) else type(self)(found)

    def decode(self, encoding: str = "utf-8", _errors: str = "") -> str:
        return super().decode(encoding, "replace")
