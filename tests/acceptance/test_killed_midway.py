"""kill -9 in the middle of a swap, and in the middle of a publish: real processes, Kafka and Redis.

The model is a small one, but of the sort that is shipped, in a real registry.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from models.checkpoint import read_checkpoint, write_checkpoint
from models.description import CONFIG
from models.predictor import load_predictor
from models.registry import CHAMPION, Registry
from models.spec import DEFAULT_HEADS
from stream.demo.tickets import tickets
from stream.records import utc_now
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
HALF_WRITTEN = "models.registry:put_whole#2"
WRITTEN = "models.registry:Registry.point#1"
# The first one is at the trainer's start.
NAMED = "trainer.champion:announce#2"

# A worker each, so that each has partitions of every topic.
WORKERS = len(IN_A_SWAP) + 1
FED_TOGETHER = 20
FED_EVERY_S = 0.1
MORE = 200
# More than are ever fed: the test ends the feed.
RECORDS = 20_000
LABELLED = 60
LABEL = {"head": "risk", "label": "low"}


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
        [trainer]
        folder = "{tmp_path}/trainer"
        refit_after_labels = {LABELLED}
        deep_after_labels = 0
        drift_above = 0
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


def assert_answers_are_of_the_version_named(
    registry: Registry, scored: Sequence[dict[str, Any]]
) -> None:
    """Each record has the answers that its version gives to its text, loaded anew."""
    by_version: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in scored:
        by_version[one["model"]].append(one)
    for version, records in by_version.items():
        predictor = load_predictor(registry.folder(version), precision="fp32")
        tokens = predictor.tokenize([one["text"] for one in records])
        for one, answers in zip(records, predictor.predict(tokens), strict=True):
            for head, answer in answers.items():
                expected = pytest.approx(answer.scores, abs=1e-3)
                assert one["heads"][head]["scores"] == expected, (version, one)


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


async def test_a_trainer_killed_in_the_middle_of_a_publish_loses_no_label_and_names_no_half_version(
    deployment: Deployment, registry: Registry
) -> None:
    first = registry.history(CHAMPION)[-1].version
    deployment.start_worker()
    await deployment.ready()
    texts = tickets()
    await publish_tickets(deployment, dict(enumerate(texts[:LABELLED])))
    rows = ({"event_id": f"t-{n}", **LABEL} for n in range(LABELLED))
    file = deployment.folder / "labels.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    deployment.command("feedback", "import", str(file), "--author", "ann")

    await deployment.kill_at_halt(deployment.start_trainer(halt_before=HALF_WRITTEN))
    folders = {one.name for one in (Path(registry.address) / "versions").iterdir()}
    (half,) = folders - {first}
    assert not (Path(registry.address) / "versions" / half / CONFIG).exists()
    assert listed(deployment) == {first: True}

    await deployment.kill_at_halt(deployment.start_trainer(halt_before=WRITTEN))
    whole = listed(deployment)
    assert whole.pop(first)
    assert len(whole) == 1

    await deployment.kill_at_halt(deployment.start_trainer(halt_before=NAMED))
    (second,) = (version for version, champion in listed(deployment).items() if champion)
    assert second != first
    assert second not in announced(await deployment.read("models", lambda found: True))

    deployment.start_trainer()
    await deployment.read("models", lambda found: second in announced(found))
    await deployment.says(deployment.log, f"model {second} takes over from {first}")
    await deployment.says(deployment.trainer_log, "refused: no golden or recent label")
    status = json.loads(deployment.command("feedback", "status", "--json").stdout)
    assert (status["feedback"], status["labels"]) == (LABELLED, LABELLED)
    await publish_tickets(deployment, dict(enumerate(texts[LABELLED:], LABELLED)))
    scored = values(await deployment.read("scored", lambda found: len(found) >= len(texts)))
    assert sorted(one["id"] for one in scored) == sorted(f"t-{n}" for n in range(len(texts)))
    by_version = {one["id"]: one["model"] for one in scored}
    assert {by_version[f"t-{n}"] for n in range(LABELLED, len(texts))} == {second}
    assert_answers_are_of_the_version_named(registry, scored)


async def publish_tickets(deployment: Deployment, texts: dict[int, str]) -> None:
    await deployment.publish(
        ("tickets", None, orjson.dumps({"id": f"t-{n}", "text": text})) for n, text in texts.items()
    )


def listed(deployment: Deployment) -> dict[str, bool]:
    """Every version that can be had, and whether it is champion."""
    models = json.loads(deployment.command("models", "list", "--json").stdout)["models"]
    return {one["version"]: one["champion"] for one in models}


def announced(records: Sequence[Any]) -> set[str]:
    return {one["version"] for one in values(records)}
