"""The whole trainer beside a worker: a version's time in shadow, and what drift brings on."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

import tests.until
from models.registry import CHALLENGER, CHAMPION, Registry
from models.spec import DEFAULT_HEADS
from stream.commands.chosen_model import RegistryChampions, load_predictor, open_registry
from stream.commands.trainer import trainer_service
from stream.config.settings import Settings
from stream.connections.outbox import Outgoing, open_outbox
from stream.demo.lesson_tickets import tickets
from stream.records import Feedback, encode, utc_now
from stream.worker.app import Worker
from tests.fakes import scored, scores
from tests.integration.traffic import publish, read, settle
from tests.tiny_model import write_tiny_checkpoint, write_tiny_encoder
from trainer.errors import FitError
from trainer.promotion.challenge import Challenger
from trainer.promotion.drift import WINDOW
from trainer.service import TrainerService

pytestmark = pytest.mark.timeout(300)

DEADLINE_S = 120.0
until = partial(tests.until.until, deadline_s=DEADLINE_S)
LABELLED = 60
# Where tests/integration/conftest.py's settings have their tickets.
TICKETS = 2


@pytest.fixture
def taught(settings: Settings, tmp_path: Path) -> Settings:
    """A registry, a trainer's folder, and a tiny model with the shipped heads."""
    encoder = write_tiny_encoder(tmp_path / "encoder")
    write_tiny_checkpoint(tmp_path / "first", encoder, heads=DEFAULT_HEADS)
    model = {
        "path": tmp_path / "first",
        "registry": str(tmp_path / "registry"),
        "shadow_share": 1.0,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }
    trainer = {
        "folder": tmp_path / "trainer",
        "refit_after_labels": LABELLED,
        "refit_after_s": 600.0,
        "deep_after_labels": 0,
        "deep_after_s": 0.0,
        "drift_above": 0.0,
    }
    return settings.model_copy(
        update={
            "model": settings.model.model_copy(update=model),
            "trainer": settings.trainer.model_copy(update=trainer),
        }
    )


def with_trainer(settings: Settings, **changed: Any) -> Settings:
    return settings.model_copy(update={"trainer": settings.trainer.model_copy(update=changed)})


@asynccontextmanager
async def teaching(settings: Settings) -> AsyncIterator[TrainerService]:
    service = trainer_service(settings)
    stop = asyncio.Event()
    await service.start()
    running = asyncio.create_task(service.run(stop))
    try:
        yield service
    finally:
        stop.set()
        await running
        await service.stop()


@asynccontextmanager
async def scoring(settings: Settings) -> AsyncIterator[Worker]:
    """A worker on the registry's champion."""
    worker = Worker(settings, load_predictor(settings), RegistryChampions(settings))
    await worker.start()
    try:
        yield worker
    finally:
        assert await worker.stop()


async def score(settings: Settings, worker: Worker, *texts: str, begin: int) -> None:
    """Publish them as tickets t-<begin> and on, and return when all are scored."""
    before = worker.telemetry.settled
    rows = (orjson.dumps({"id": f"t-{n}", "text": text}) for n, text in enumerate(texts, begin))
    await publish(settings, TICKETS, *rows)
    await settle(worker, before + len(texts))


async def label(settings: Settings, label: str, *, head: str, events: Sequence[str]) -> None:
    said = [
        Feedback(
            id=f"f-{n}", event_id=event_id, head=head, label=label, author="ann", time=utc_now()
        )
        for n, event_id in enumerate(events)
    ]
    topic = settings.topics.feedback
    async with open_outbox(settings.kafka) as outbox:
        await outbox.send([Outgoing(topic, one.event_id.encode(), encode(one)) for one in said])


async def answered(settings: Settings, model: str, texts: Sequence[str], **said: Any) -> None:
    """Records as a worker writes them, named by their texts; said are fakes.scores' labels."""
    topic, heads = settings.topics.scored, scores(**said)
    records = [
        scored(id=f"id of {text}", source="ticket", text=text, model=model, heads=heads)
        for text in texts
    ]
    async with open_outbox(settings.kafka) as outbox:
        await outbox.send([Outgoing(topic, one.id.encode(), encode(one)) for one in records])


def named(registry: Registry, alias: str) -> str:
    found = registry.alias(alias)
    return found.version if found else ""


@pytest.mark.parametrize("agreeing", [True, False], ids=["agrees", "differs"])
async def test_a_version_goes_through_its_time_in_shadow_before_it_is_champion_or_refused(
    taught: Settings, agreeing: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    # All tickets are of the kind that was labelled: most answers on their risk change.
    bound = 1.0 if agreeing else 0.2
    settings = with_trainer(taught, shadow_events=20, shadow_s=600.0, shadow_max_change=bound)
    registry = open_registry(settings)
    texts = tickets()
    async with teaching(settings) as service, scoring(settings) as worker:
        first = named(registry, CHAMPION)
        await score(settings, worker, *texts[:LABELLED], begin=0)
        await label(settings, "low", head="risk", events=[f"t-{n}" for n in range(LABELLED)])
        await until(lambda: bool(service.status.challenger))
        second = service.status.challenger
        assert (named(registry, CHAMPION), named(registry, CHALLENGER)) == (first, second)
        await until(lambda: f"challenger {second} runs in shadow of {first}" in caplog.text)
        assert worker.predictor.version == first

        await score(settings, worker, *texts[LABELLED:], begin=LABELLED)
        await until(lambda: not service.status.challenger)
        assert named(registry, CHALLENGER) == ""
        differs = worker.telemetry.shadow[second, "risk", "no"]
        assert differs > 0.5 * len(texts[LABELLED:])
        why = registry.history(CHALLENGER)[-1].why
        if agreeing:
            assert named(registry, CHAMPION) == second
            assert "; in shadow " in registry.history(CHAMPION)[-1].why
            await until(lambda: worker.predictor.version == second)
            assert why.startswith("promoted: in shadow ")
        else:
            assert named(registry, CHAMPION) == first
            assert why.startswith("refused: in shadow risk differs in ")
            assert worker.predictor.version == first
        # Either way these labels are tried: nothing is fitted again for them.
        await until(lambda: service.status.waits_for.startswith("waits for labels"))


async def test_a_registry_that_is_away_for_a_while_costs_no_label_and_does_not_end_the_trainer(
    taught: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    registry = open_registry(taught)
    texts = tickets()[:LABELLED]
    async with teaching(taught) as service:
        first = named(registry, CHAMPION)
        (tmp_path / "registry").rename(tmp_path / "away")
        await until(lambda: "is empty, though it had a champion" in service.status.waits_for)
        await answered(taught, first, texts)
        await label(taught, "low", head="risk", events=[f"id of {text}" for text in texts])
        await until(lambda: service.status.labels == LABELLED)
        assert "fit on" not in caplog.text
        (tmp_path / "away").rename(tmp_path / "registry")
        await until(lambda: named(registry, CHAMPION) != first)
    assert caplog.text.count("is empty, though it had a champion") == 1


async def test_ten_bad_sorts_of_feedback_are_told_apart_and_do_not_end_the_trainer(
    taught: Settings,
) -> None:
    said = {"event_id": "e", "head": "risk", "label": "low", "author": "ann"}
    good = {"id": "f-1", "time": "2026-03-12T08:00:00Z", **said}
    bad: dict[bytes, tuple[str, str]] = {
        orjson.dumps({**good, "head": "rsk"}): ("unknown_head", "head"),
        orjson.dumps({**good, "label": "lo"}): ("unknown_label", "label"),
        orjson.dumps({**good, "time": "2200-01-01T00:00:00Z"}): ("future_time", "time"),
        orjson.dumps({**good, "author": " "}): ("empty_field", "author"),
        orjson.dumps({**good, "text": "a" * 70_000}): ("too_large", ""),
        b"not json": ("not_json", ""),
        orjson.dumps({**good, "version": 2}): ("unknown_version", "version"),
    }
    kept = [
        {**good, "event_id": "unknown"},
        good,
        {**good, "id": "f-2"},
        {**good, "id": "f-3", "event_id": "both"},
        {**good, "id": "f-4", "event_id": "both", "author": "bob", "label": "high"},
    ]
    async with open_outbox(taught.kafka) as outbox, teaching(taught) as service:
        records = [scored(id=one, source="ticket", text=one) for one in ("e", "both")]
        await outbox.send(
            [Outgoing(taught.topics.scored, one.id.encode(), encode(one)) for one in records]
        )
        await outbox.send(
            [
                Outgoing(taught.topics.feedback, b"e", value)
                for value in (*bad, *map(orjson.dumps, kept))
            ]
        )
        await until(lambda: service.status.refused == len(bad) and service.status.disputed == 1)
        await until(lambda: (service.status.labels, service.status.unknown) == (1, 1))
        summary = service._settled
    assert summary.repeats == 1
    letters = await read(taught, taught.topics.dead_letter, len(bad))
    assert {(one["reason"], one["field"]) for one in letters} == set(bad.values())


async def test_the_clock_brings_one_deep_fit_of_labels_that_were_tried_before(
    taught: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_fit(*_: Any, **__: Any) -> Challenger:
        raise FitError("far enough")

    monkeypatch.setattr("trainer.promotion.contest.challenge_deep", no_fit)
    caplog.set_level("INFO")
    texts = tickets()[:LABELLED]
    async with teaching(with_trainer(taught, deep_after_s=0.01)) as service:
        await answered(taught, service.status.champion, texts)
        await label(taught, "low", head="risk", events=[f"id of {text}" for text in texts])
        await until(lambda: service.status.attempts["deep", "not done"] == 1)
        # Nothing came since, so there is nothing for another one.
        await until(lambda: "given 50 more labels" in service.status.waits_for)
    begun = [one.args for one in caplog.records if one.msg == "%s fit on %d labels"]
    assert begun == [("fast", LABELLED), ("deep", LABELLED)]


async def test_drift_brings_on_a_deep_fit_of_labels_that_were_tried_before(
    taught: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings = with_trainer(taught, drift_above=0.25)
    window = [f"text {n}" for n in range(WINDOW)]
    async with teaching(settings) as service:
        champion = await taught_once(settings, service)
        await answered(settings, champion, window, sentiment="negative")
        await answered(settings, champion, window, sentiment="positive")
        await until(lambda: f"deep fit on {LABELLED} labels" in caplog.text)
        before, _, after = caplog.text.partition("deep fit on")
        assert f"drift since {champion} is champion: labels of sentiment on ticket" in before
        await until(lambda: any(speed == "deep" for speed, _ in service.status.attempts))
        assert "fast fit on" not in after


async def test_drift_goes_on_after_a_restart_and_is_tried_once(
    taught: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = count()
    go_on = threading.Event()

    def no_fit(*_: Any, **__: Any) -> Challenger:
        if next(fits) == 0:
            go_on.wait()
        raise FitError("far enough")

    monkeypatch.setattr("trainer.promotion.contest.challenge_deep", no_fit)
    caplog.set_level("INFO")
    settings = with_trainer(taught, drift_above=0.25)
    window = [f"text {n}" for n in range(WINDOW)]
    half = WINDOW // 2
    async with teaching(settings) as service:
        champion = await taught_once(settings, service)
        await answered(settings, champion, window, sentiment="negative")
        await answered(settings, champion, window[:half], sentiment="positive")
        await until(lambda: counted(service) == WINDOW + half)
        assert "deep fit" not in caplog.text

    async with teaching(settings) as service:
        await answered(settings, champion, window[half:], sentiment="positive")
        await until(lambda: service.status.fitting == "deep")
    # Stopped in the middle of the fit, it has not been tried.
    go_on.set()

    async with teaching(settings) as service:
        await until(lambda: service.status.attempts["deep", "not done"] == 1)
        assert "tried for drift in labels of sentiment on ticket" in caplog.text
        drifts = caplog.text.count("drift since")
        await answered(settings, champion, window, sentiment="positive")
        await until(lambda: caplog.text.count("drift since") > drifts)
        await until(lambda: service.status.waits_for == "waits for labels")

    async with teaching(settings) as service:
        await answered(settings, champion, window, sentiment="positive")
        await until(lambda: caplog.text.count("drift since") > drifts + 1)
        await until(lambda: service.status.waits_for == "waits for labels")
        assert service.status.attempts == Counter()


async def taught_once(settings: Settings, service: TrainerService) -> str:
    """The champion after labels that are tried now."""
    first = named(open_registry(settings), CHAMPION)
    texts = tickets()[:LABELLED]
    await answered(settings, first, texts)
    await label(settings, "low", head="risk", events=[f"id of {text}" for text in texts])
    await until(lambda: service.status.champion not in {"", first})
    assert service.status.attempts == Counter({("fast", "promoted"): 1})
    return service.status.champion


def counted(service: TrainerService) -> int:
    """Answers on the sentiment of tickets that the trainer has counted for drift."""
    own = [one for one in service._drift.seen.pairs if one.head == "sentiment"]
    return sum(one.reference.answers + one.window.answers for one in own)
