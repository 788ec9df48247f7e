"""Workers are killed at every step of a swap, under load: real processes, Kafka and Redis.

The model is a small one, but of the sort that is shipped, in a real registry.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.checkpoint import read_checkpoint, write_checkpoint
from models.registry import CHAMPION, Registry
from models.spec import DEFAULT_HEADS
from stream.records import utc_now
from tests.acceptance.answers import assert_answers_are_of_the_version_named
from tests.acceptance.deployment import Deployment, Publish, values
from tests.acceptance.workload import TOPICS, good_records
from tests.tiny_model import write_tiny_checkpoint, write_tiny_encoder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(400)]

IN_A_SWAP = {
    "loaded beside the running model, and about to be warmed up": (
        "models.predictor:TorchPredictor.warm_up#2"
    ),
    "in the ledger, and not yet handed to the model thread": "models.batcher:Batcher.swap#1",
    "taken by the model thread, between two micro-batches": "models.batcher:CostModel#2",
}
# A worker each, so that each has partitions of every topic.
WORKERS = len(IN_A_SWAP) + 1
FED_TOGETHER = 20
FED_EVERY_S = 0.1
MORE = 200
# More than are ever fed: the test ends the feed.
RECORDS = 20_000


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """With one version, which is champion."""
    encoder = write_tiny_encoder(tmp_path / "encoder")
    write_tiny_checkpoint(tmp_path / "first", encoder, heads=DEFAULT_HEADS)
    registry = Registry(str(tmp_path / "registry"))
    first = registry.add(tmp_path / "first").version
    registry.point(CHAMPION, first, by="test", why="the first", now=utc_now())
    return registry


@pytest.fixture
def deployment(
    kafka: str, redis_url: str, registry: Registry, tmp_path: Path
) -> Iterator[Deployment]:
    settings = f"""
        [model]
        registry = "{registry.address}"
        device = "cpu"
        precision = "fp32"
        threads = 1
    """
    running = Deployment(kafka, redis_url, tmp_path, settings, partitions=WORKERS)
    yield running
    running.close()


class Feed:
    """Sends events all the time; sent are their records by id, in the order of sending."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish
        self.sent: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        records = iter(good_records(RECORDS).items())
        while part := dict(islice(records, FED_TOGETHER)):
            await self._publish(part.values())
            self.sent |= {name: orjson.loads(value or b"") for name, (_, _, value) in part.items()}
            await asyncio.sleep(FED_EVERY_S)

    async def more(self, events: int) -> list[str]:
        """Return when so many more are sent, with their ids."""
        before = len(self.sent)
        while len(self.sent) < before + events:
            await asyncio.sleep(FED_EVERY_S)
        return [*self.sent][before:]


@contextlib.asynccontextmanager
async def feeding(deployment: Deployment) -> AsyncIterator[Feed]:
    async with deployment.publisher() as publish:
        feed = Feed(publish)
        running = asyncio.create_task(feed.run())
        try:
            yield feed
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def add_other_version(registry: Registry, folder: Path) -> str:
    """Its encoder and its heads answer otherwise than the champion's."""
    checkpoint, weights = read_checkpoint(folder / "first")
    other = {name: tensor.flip(0) for name, tensor in weights.items()}
    write_checkpoint(folder / "second", checkpoint, other)
    return registry.add(folder / "second").version


async def test_workers_killed_in_the_middle_of_a_swap_lose_nothing_and_serve_no_broken_version(
    deployment: Deployment, registry: Registry, tmp_path: Path
) -> None:
    first = registry.history(CHAMPION)[-1].version
    second = add_other_version(registry, tmp_path)
    victims = [deployment.start_worker(halt_before=place) for place in IN_A_SWAP.values()]
    deployment.start_worker()
    await deployment.shared_by(WORKERS)
    async with feeding(deployment) as feed:
        await feed.more(MORE)
        await asyncio.to_thread(deployment.command, "models", "promote", second, "--why", "test")
        await deployment.says(deployment.log, f"model {second} takes over from {first}")
        # One of the victims answers nothing any more, so some of these wait at the kill.
        await feed.more(MORE)
        await deployment.kill_at_halt(*victims)
        committed = await deployment.offsets(*TOPICS.values())
        deployment.start_worker()
        await feed.more(FED_TOGETHER)
        after = await feed.more(MORE)
        await deployment.shared_by(2)
        after += await feed.more(MORE)
    scored = values(
        await deployment.read(
            "scored", lambda found: {one.key.decode() for one in found} >= feed.sent.keys()
        )
    )
    versions: dict[str, list[str]] = defaultdict(list)
    for one in scored:
        versions[one["id"]].append(one["model"])
    assert versions.keys() == feed.sent.keys()
    # The killed never served the new version, and those who live serve no other: so what is there
    # twice was scored once by a killed one, before the kill, and once by whoever read it again.
    twice = {name for name, by in versions.items() if len(by) > 1}
    assert {tuple(versions[name]) for name in twice} <= {(first, second)}
    assert {tuple(versions[name]) for name in after} == {(second,)}
    for one in scored:
        if one["id"] in twice:
            # Nor had its chunk been committed.
            place = TOPICS[one["source"]], one["origin"]["partition"]
            assert one["origin"]["offset"] >= committed[place], one
    assert_answers_are_of_the_version_named(registry, scored)
