"""The trainer service where its disk is full, or somebody moves the champion while it fits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from models.checkpoint import read_checkpoint, write_checkpoint
from models.registry import CHALLENGER, CHAMPION, Registry
from models.spec import Head
from stream.ingest.dead_letter import DeadLetter
from stream.names import Topics
from stream.records import Feedback, Origin, utc_now
from trainer import full_disk, service
from trainer.errors import FitError, LabelLogError
from trainer.labels.feedback import Accepted
from trainer.labels.label_log import LABELS_FILE, LabelLog
from trainer.labels.question import Question
from trainer.promotion.challenge import Challenger
from trainer.promotion.champion import Champion
from trainer.promotion.gate import Evidence, Limits, Verdict
from trainer.promotion.probation import Probation
from trainer.schedule import Schedule
from trainer.service import TrainerService
from trainer.service_config import ServiceConfig
from trainer.status import Status
from trainer.topics import Reading

DEADLINE_S = 20.0
FULL = LabelLogError("label log labels.sqlite: can't be written (disk full); free space there")
ASKED = Question("mood", "e1", "news", "text", "bad", 0.5, "unsure")


class Shadow:
    """Takes what it is given, where the disk has room."""

    version = ""
    agreements: tuple[()] = ()

    def __init__(self, log: LabelLog) -> None:
        self._log = log
        self.begun: list[Any] = []
        self.faults: list[Exception] = []

    def note(self, answers: Any) -> None: ...

    def words(self) -> str:
        return "in shadow"

    def questions(self) -> list[Question]:
        return []

    async def begin(self, alias: Any) -> None:
        self._log.shadow.keep_only("v2")
        self.begun.append(alias)

    async def watch(self) -> None:
        if self.faults:
            raise self.faults.pop()


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainerService:
    monkeypatch.setattr(full_disk, "RETRY_S", 0.001)
    monkeypatch.setattr(service, "RETRY_S", 0.0)
    config = ServiceConfig(
        kafka={},
        topics=Topics(),
        folder=tmp_path,
        schedule=Schedule(),
        limits=Limits(),
        probation=Probation(10, 60.0),
        drift_above=0.0,
    )
    made = TrainerService(config, Registry(str(tmp_path / "registry")))
    made._stopping = asyncio.Event()
    made._log = LabelLog(tmp_path / LABELS_FILE, remember_events=10)
    made._shadow = Shadow(made._log)  # type: ignore[assignment]
    made._champion = SimpleNamespace(  # type: ignore[assignment]
        version="v1",
        alias=SimpleNamespace(number=1),
        contender=SimpleNamespace(joint=SimpleNamespace(heads=())),
    )
    return made


async def on_a_full_disk(
    ours: TrainerService, doing: Coroutine[Any, Any, None], caplog: pytest.LogCaptureFixture
) -> None:
    """Do it, with room on the disk only once it was said that there is none."""
    ours._log._db.execute("PRAGMA query_only = 1")
    task = asyncio.create_task(doing)
    async with asyncio.timeout(DEADLINE_S):
        while "it is tried again" not in caplog.text and not task.done():
            await asyncio.sleep(0.001)
        if not task.done():
            assert "it is tried again" in ours.status.waits_for
        ours._log._db.execute("PRAGMA query_only = 0")
        await task


async def test_what_to_ask_is_noted_once_there_is_room(
    ours: TrainerService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "questions", lambda *_: [ASKED])
    await on_a_full_disk(ours, ours._ask(), caplog)
    assert ours._log.questions() == [ASKED]


@pytest.mark.parametrize("promoted", [True, False, None])
async def test_a_fit_is_done_once_and_noted_once_there_is_room(
    ours: TrainerService,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    promoted: bool | None,
) -> None:
    """None: the labels don't allow it."""
    fits = []

    async def challenge(*_: Any, **__: Any) -> Any:
        fits.append(1)
        if promoted is None:
            raise FitError("one label only")
        return SimpleNamespace(evidence=None, doubtful={})

    monkeypatch.setattr(service, "contest", challenge)
    verdict = Verdict(promoted=bool(promoted), reasons=("why",), changes=())
    monkeypatch.setattr(service, "judge", lambda *_: verdict)
    monkeypatch.setattr(service, "publish", lambda *_: "alias")
    await on_a_full_disk(ours, ours._train("fast", ours._settled), caplog)
    assert (len(fits), len(ours._log.attempts.latest(9))) == (1, 1)
    assert ours._shadow.begun == (["alias"] if promoted else [])  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [RuntimeError("can't allocate memory"), MemoryError()])
async def test_a_fit_that_breaks_counts_as_tried_and_ends_no_service(
    ours: TrainerService, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def challenge(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(service, "contest", challenge)
    await ours._train("deep", ours._settled)
    (attempt,) = ours._log.attempts.latest(9)
    assert attempt["verdict"] in {"not done: can't allocate memory", "not done: MemoryError"}


async def begun(ours: TrainerService, monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[None]:
    """A deep fit that never ends."""
    began = asyncio.Event()

    async def challenge(*_: Any, **__: Any) -> Any:
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(service, "contest", challenge)
    fit = asyncio.create_task(ours._train("deep", ours._settled))
    async with asyncio.timeout(DEADLINE_S):
        await began.wait()
    return fit


async def test_a_fit_in_which_the_process_was_killed_twice_is_not_begun_again(
    ours: TrainerService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        fit = await begun(ours, monkeypatch)
        # As after a kill -9, nothing that would follow is done.
        fit.cancel()
        await asyncio.wait([fit])
        ours._log.close()
        ours._log = LabelLog(tmp_path / LABELS_FILE, remember_events=10)
        assert ours._log.attempts.latest(9) == []
    monkeypatch.undo()
    await ours._train("deep", ours._settled)
    (attempt,) = ours._log.attempts.latest(9)
    assert "not done: the trainer was killed 2 times in it" in attempt["verdict"]
    assert "want of memory" in ours.status.not_done
    # It counts as tried, and a trainer that starts now says so too.
    assert ours._log.attempts.last() == (ours._settled.fingerprint, 0)
    later = Status()
    later.take_up(ours._log.attempts.latest(1))
    assert later.not_done == ours.status.not_done


async def test_a_fit_that_was_stopped_on_purpose_was_not_killed(
    ours: TrainerService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stopped() -> None: ...

    ours._reader = ours._producer = SimpleNamespace(stop=stopped)  # type: ignore[assignment]
    ours._attempt = await begun(ours, monkeypatch)
    await ours.stop()
    log = LabelLog(tmp_path / LABELS_FILE, remember_events=10)
    assert log.attempts.times_begun(f"deep v1 {ours._settled.fingerprint}") == 0


@pytest.mark.parametrize("of_attempt", [True, False])
async def test_what_finds_no_room_ends_the_service_in_no_case(
    ours: TrainerService,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    of_attempt: bool,
) -> None:
    stop = asyncio.Event()
    looks = 0

    async def poll(_: Any) -> Reading:
        nonlocal looks
        looks += 1
        if looks == 3:
            stop.set()
        return Reading([], [], [], [], [], {}, {})

    async def watch(*_: Any) -> None: ...

    ours._reader = SimpleNamespace(poll=poll)  # type: ignore[assignment]
    monkeypatch.setattr(ours._champion, "watch", watch, raising=False)
    if of_attempt:
        ours._attempt = asyncio.get_running_loop().create_future()  # type: ignore[assignment]
        ours._attempt.set_exception(FULL)  # type: ignore[union-attr]
    else:
        ours._shadow.faults.append(FULL)  # type: ignore[attr-defined]
    await ours.run(stop)
    assert (looks, caplog.text.count(str(FULL))) == (3, 1)


async def test_labels_count_anew_where_another_champion_has_other_heads(
    ours: TrainerService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def watch(*_: Any) -> None: ...

    monkeypatch.setattr(ours._champion, "watch", watch, raising=False)
    ours._shadow.version = "v2"  # so that no fit begins
    said = Feedback(
        id="f",
        event_id="e",
        head="mood",
        label="bad",
        author="ann",
        time=utc_now(),
        text="It sank.",
    )
    ours._log.append([Accepted(0, 0, said)], [], {("feedback", 0): 1})
    joint = ours._champion.contender.joint
    for labels in (("good", "bad"), ("good", "poor"), ("good", "bad")):
        joint.heads = (Head(name="mood", labels=labels),)
        await ours._go_on()
        assert [one.label for one in ours._settled.labels] == ["bad"] * ("bad" in labels)
    joint.heads = ()
    await ours._go_on()
    assert ours._settled.labels == ()


class NoWire:
    """A producer whose Kafka is away: it waits, when it sends and when it stops."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def send_and_wait(self, *_: object, **__: object) -> None:
        self.asked.set()
        await asyncio.Event().wait()

    async def stop(self) -> None:
        await asyncio.Event().wait()


async def test_a_stop_does_not_wait_until_kafka_takes_what_is_refused(
    ours: TrainerService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = DeadLetter(
        origin=Origin("feedback", 0, 0),
        reason="not_json",
        field="",
        detail="is no JSON",
        key=None,
        value=b"not JSON",
        time=utc_now(),
    )

    async def poll(_: Any) -> Reading:
        return Reading([], [letter], [], [], [], {("feedback", 0): 1}, {})

    async def end() -> None:
        raise asyncio.CancelledError  # as a consumer's stop does then

    monkeypatch.setattr(service, "STOP_S", 0.01)
    ours._producer = wire = NoWire()  # type: ignore[assignment]
    ours._reader = SimpleNamespace(poll=poll, stop=end)  # type: ignore[assignment]
    stop = asyncio.Event()
    async with asyncio.timeout(DEADLINE_S):
        running = asyncio.create_task(ours.run(stop))
        await wire.asked.wait()
        stop.set()
        await running
        await ours.stop()
    # It is read again, and refused then.
    assert LabelLog(tmp_path / LABELS_FILE, remember_events=10).position("feedback", 0) is None


class Wire:
    """A producer that takes everything."""

    async def send_and_wait(self, *_: object, **__: object) -> None: ...


@pytest.mark.parametrize("shadowed", [True, False])
async def test_whom_somebody_makes_champion_during_a_fit_stays_and_the_labels_are_due_again(
    ours: TrainerService,
    tmp_path: Path,
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    shadowed: bool,
) -> None:
    registry = ours._registry
    if not shadowed:
        ours._config = replace(ours._config, probation=Probation())
    ours._champion = champion = Champion(registry, tiny_checkpoint)
    champion.open()
    champion.announce_by(Wire(), "models")  # type: ignore[arg-type]
    checkpoint, weights = read_checkpoint(tiny_checkpoint)
    first = champion.version
    weights["heads.bias"] = weights["heads.bias"] + 1
    by_hand = write_checkpoint(tmp_path / "by hand", checkpoint, weights).version
    registry.add(tmp_path / "by hand")
    fitted = msgspec.structs.replace(checkpoint, training={"parent": first})
    moving = True

    async def challenge(*_: Any, **__: Any) -> Challenger:
        if moving:
            registry.point(CHAMPION, by_hand, by="eve", why="an incident", now=utc_now())
        return Challenger(fitted, weights, Evidence(slices=()), {})

    monkeypatch.setattr(service, "contest", challenge)
    fine = Verdict(promoted=True, reasons=("why",), changes=())
    monkeypatch.setattr(service, "judge", lambda *_: fine)
    monkeypatch.setattr("trainer.promotion.champion.judge", lambda *_, **__: fine)
    monkeypatch.setattr("trainer.promotion.champion.compare", lambda *_: [])

    async def moves() -> list[str]:
        await champion.watch(ours._settled, ours._config.limits, ours._log.attempts)
        return [move.by for move in registry.history(CHAMPION)]

    assert await moves() == ["trainer"]
    await ours._train("fast", ours._settled)
    # At once, though it has looked just now: else the same fit would begin again.
    assert await moves() == ["trainer", "eve"]
    assert champion.version == by_hand
    assert ours.status.attempts == {("fast", "not done"): 1}
    noted = [(one["speed"], one["verdict"]) for one in ours._log.attempts.latest(9)]
    assert ("by hand", "fast fit not done: another champion meanwhile") in noted
    assert ours._log.attempts.last() == ("", 0)
    assert registry.alias(CHALLENGER) is None
    moving = False
    await ours._train("fast", ours._settled)
    begun = [one.version for one in ours._shadow.begun]  # type: ignore[attr-defined]
    if shadowed:
        assert (len(begun), await moves()) == (1, ["trainer", "eve"])
    else:
        assert (begun, await moves()) == ([], ["trainer", "eve", "trainer"])
    assert ours.status.attempts["fast", "promoted"] == 1
