"""A new champion takes over while the stream runs; nothing is lost, nothing is scored twice."""

from __future__ import annotations

import gc
from collections import Counter
from itertools import pairwise
from weakref import ref

import orjson

from models.spec import ModelError, Predictor
from models.stub import StubPredictor
from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, open_outbox
from stream.worker.app import Worker
from stream.worker.monitor import WorkerMonitor
from tests.conftest import Stack
from tests.integration.traffic import DEADLINE_S, publish, read, settle
from tests.until import until

SWAPS = 50
PER_SWAP = 40


class Shelf:
    """stream.serving.follower.Champions whose champion the test names."""

    def __init__(self) -> None:
        self.champion = "stub-0"
        self.shadowing: str | None = None
        self.broken = {"stub-broken"}
        self.loaded: list[ref[StubPredictor]] = []

    def version(self) -> str:
        return self.champion

    def challenger(self) -> str | None:
        return self.shadowing

    def stamp(self, version: str) -> str:
        return version

    def load(self, version: str, beside: Predictor) -> Predictor:
        if version in self.broken:
            raise ModelError(f"{version}: is not the file that checkpoint.json describes")
        predictor = StubPredictor(version=version)
        # As the modules of a real one, its parts know each other.
        predictor.__dict__["itself"] = predictor
        self.loaded.append(ref(predictor))
        return predictor


async def announce(settings: Settings, *before: Outgoing) -> None:
    """That the registry names other versions, in one send with the records before it."""
    told = Outgoing(settings.topics.models, b"champion", b"{}")
    async with open_outbox(settings.kafka) as outbox:
        await outbox.send([*before, told])


async def serves(worker: Worker, version: str) -> None:
    await until(lambda: worker.predictor.version == version, DEADLINE_S)


async def test_fifty_swaps_under_load_lose_nothing_and_score_nothing_twice(
    settings: Settings, stack: Stack
) -> None:
    swaps = SWAPS if stack.kind == "real" else SWAPS // 5
    shelf = Shelf()
    worker = Worker(settings, StubPredictor(version="stub-0"), shelf)
    await worker.start()
    # In a worker the collector looks at what lives long only once in some days, and never at what
    # was there before: see stream/runtime/heap.py.
    gc.freeze()
    gc.disable()
    topic = settings.sources[0].topic
    try:
        for swap in range(1, swaps + 1):
            batch = [
                Outgoing(
                    topic,
                    str(n).encode(),
                    orjson.dumps({"id": f"{swap}-{n}", "text": "neutral low"}),
                )
                for n in range(PER_SWAP)
            ]
            shelf.champion = f"stub-{swap}"
            await announce(settings, *batch)
            await serves(worker, f"stub-{swap}")
        await publish(settings, 0, orjson.dumps({"id": "last", "text": "neutral low"}))
        await settle(worker, swaps * PER_SWAP + 1)
        await until(lambda: sum(one() is not None for one in shelf.loaded) <= 1, DEADLINE_S)
    finally:
        gc.enable()
        gc.unfreeze()
        assert await worker.stop()
    scored = await read(settings, settings.topics.scored, swaps * PER_SWAP + 1)
    assert Counter(record["id"] for record in scored) == {
        "last": 1,
        **{f"{swap}-{n}": 1 for swap in range(1, swaps + 1) for n in range(PER_SWAP)},
    }
    by_version = {record["id"]: int(record["model"].removeprefix("stub-")) for record in scored}
    assert by_version["last"] == swaps
    assert len(set(by_version.values())) > swaps // 2
    # In the order of its partition an event is never scored by an older model than the one before.
    in_order = sorted(scored, key=lambda one: (one["origin"]["partition"], one["origin"]["offset"]))
    for before, after in pairwise(in_order):
        if before["origin"]["partition"] == after["origin"]["partition"]:
            assert by_version[before["id"]] <= by_version[after["id"]]


async def test_a_champion_that_cannot_be_served_leaves_the_running_model_in_force(
    settings: Settings, caplog
) -> None:
    shelf = Shelf()
    worker = Worker(settings, StubPredictor(version="stub-0"), shelf)
    await worker.start()
    try:
        shelf.champion = "stub-broken"
        await announce(settings)
        await until(lambda: "the champion is not served" in caplog.text, DEADLINE_S)
        report = WorkerMonitor(worker).health()
        assert report.ok  # a restart would not mend it
        assert report.details["champion"].startswith("stub-broken not served: stub-broken: is not")
        await publish(settings, 0, orjson.dumps({"id": "e", "text": "neutral low"}))
        await settle(worker, 1)
    finally:
        assert await worker.stop()
    (scored,) = await read(settings, settings.topics.scored, 1)
    assert scored["model"] == "stub-0"
    assert "is not the file that checkpoint.json describes" in caplog.text


async def test_a_challenger_in_shadow_changes_no_output_and_is_told_on_a_topic_of_its_own(
    settings: Settings, caplog
) -> None:
    shelf = Shelf()
    shelf.broken = {"stub-bad"}
    caplog.set_level("INFO", logger="stream.serving.follower")
    shared = settings.model_copy(
        update={"model": settings.model.model_copy(update={"shadow_share": 1.0})}
    )
    worker = Worker(shared, StubPredictor(version="stub-0"), shelf)
    await worker.start()
    try:
        for version, words in (
            ("stub-1", "challenger stub-1 runs in shadow of stub-0"),
            ("stub-bad", "the challenger is not run in shadow: stub-bad"),
            ("stub-1", "challenger stub-1 runs in shadow of stub-0"),
        ):
            shelf.shadowing = version
            caplog.clear()
            await announce(settings)
            await until(lambda words=words: words in caplog.text, DEADLINE_S)
        texts = ["neutral low"] * 5 + ["wo ist denn nun meine neue Karte geblieben"]
        await publish(
            settings,
            0,
            *(orjson.dumps({"id": f"e-{n}", "text": text}) for n, text in enumerate(texts)),
        )
        await settle(worker, 6)
        answers = await read(settings, settings.topics.shadow, 5)
    finally:
        assert await worker.stop()
    scored = await read(settings, settings.topics.scored, 6)
    assert {one["model"] for one in scored} == {"stub-0"}
    assert "shadow" not in scored[0]
    # Of what no model reads, both would guess.
    assert {one["id"] for one in answers} == {one["id"] for one in scored if not one["unreadable"]}
    assert {(one["champion"], one["challenger"]) for one in answers} == {("stub-0", "stub-1")}
    assert answers[0]["heads"]["risk"]["champion"] == answers[0]["heads"]["risk"]["challenger"]
    assert worker.telemetry.shadow["stub-1", "risk", "yes"] == 5
