"""What can't be written now is written once there is room, unless the service is asked to end."""

from __future__ import annotations

import asyncio

import pytest

from trainer import full_disk
from trainer.errors import LabelLogError
from trainer.full_disk import retry_while_disk_is_full


class Disk:
    """Full for so many writes."""

    def __init__(self, full_for: int) -> None:
        self.full_for = full_for
        self.tries = 0

    async def write(self) -> str:
        self.tries += 1
        if self.tries <= self.full_for:
            raise LabelLogError("label log /data/labels.sqlite: can't be written; free space there")
        return "written"


async def test_it_is_tried_until_it_is_written_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(full_disk, "RETRY_S", 0.0)
    disk = Disk(full_for=5)
    told: list[str] = []
    assert await retry_while_disk_is_full(disk.write, asyncio.Event(), told.append) == "written"
    assert len(told) == 5
    assert "/data/labels.sqlite" in told[0]
    assert disk.tries == 6
    assert caplog.text.count("/data/labels.sqlite: can't be written; free space there") == 1


async def test_a_service_that_is_asked_to_end_says_what_was_not_written() -> None:
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(LabelLogError, match=r"labels\.sqlite"):
        await retry_while_disk_is_full(Disk(full_for=9).write, stop, print)
