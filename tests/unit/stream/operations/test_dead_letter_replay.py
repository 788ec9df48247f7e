"""What is never sent again, whoever insists."""

from __future__ import annotations

import pytest

from stream.ingest.dead_letter import UNPACKS_TO_TOO_MUCH, DeadLetter
from stream.operations.dead_letter_replay import refusals
from stream.records import Origin, utc_now


def letter(value: bytes | None, *headers: tuple[str, bytes]) -> DeadLetter:
    return DeadLetter(
        origin=Origin("news", 0, 7),
        reason="not_json",
        field="",
        detail="",
        key=b"k",
        value=value,
        headers=headers,
        time=utc_now(),
    )


def refused(one: DeadLetter) -> list[str]:
    return list(refusals(one, {one.first: one.id}, {}, {"news"}, again=True))


@pytest.mark.parametrize("value", [b"not json", b""])
def test_what_has_a_value_may_be_sent_again(value: bytes) -> None:
    assert refused(letter(value)) == []


def test_a_tombstone_is_not_as_it_would_delete_what_has_its_key_by_now() -> None:
    (why,) = refused(letter(None))
    assert why.startswith("has no value")


def test_what_stands_for_a_batch_is_not_as_it_never_was_a_record() -> None:
    (why,) = refused(letter(b"\x28\xb5\x2f\xfd", (UNPACKS_TO_TOO_MUCH, b"64 MiB with zstd")))
    assert why.startswith("is a whole batch")
