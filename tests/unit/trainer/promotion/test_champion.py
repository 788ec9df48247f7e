"""Whom somebody makes champion is judged, and what came of it can be read afterwards."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import trainer.promotion.champion
from models.checkpoint import read_checkpoint, write_checkpoint
from models.registry import CHAMPION, Registry
from models.spec import ModelError
from stream.records import utc_now
from trainer.labels.label_log import LABELS_FILE, LabelLog
from trainer.labels.settlement import Settlement
from trainer.promotion.champion import Champion
from trainer.promotion.gate import Limits, Verdict


class Wire:
    """A producer that takes everything."""

    async def send_and_wait(self, *_: object, **__: object) -> None: ...


class Stand:
    def __init__(self, folder: Path, tiny: Path) -> None:
        self.registry = Registry(str(folder / "registry"))
        self.champion = Champion(self.registry, tiny)
        self.champion.open()
        self.champion.announce_by(Wire(), "models")  # type: ignore[arg-type]
        self.log = LabelLog(folder / LABELS_FILE, remember_events=1_000)
        self.first = self.champion.version
        checkpoint, weights = read_checkpoint(tiny)
        described = msgspec.structs.replace(checkpoint, training={"by": "hand"})
        self.second = write_checkpoint(folder / "second", described, weights).version
        self.registry.add(folder / "second")

    def promote(self, version: str) -> None:
        self.registry.point(CHAMPION, version, by="eve", why="she insists", now=utc_now())

    async def look(self) -> None:
        settled = Settlement(self.champion.contender.joint.heads).settled()
        await self.champion.watch(settled, Limits(), self.log.attempts)

    def noted(self) -> list[tuple[str, str]]:
        return [(one["speed"], one["verdict"]) for one in self.log.summary()["attempts"]]


@pytest.fixture
def stand(tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(trainer.promotion.champion, "LOOK_AT_ALIAS_S", 0.0)
    monkeypatch.setattr(trainer.promotion.champion, "compare", lambda *_: [])
    return Stand(tmp_path, tiny_checkpoint)


def judged(monkeypatch: pytest.MonkeyPatch, *, promoted: bool, why: str) -> None:
    verdict = Verdict(promoted=promoted, reasons=(why,), changes=())
    monkeypatch.setattr(trainer.promotion.champion, "judge", lambda *_, **__: verdict)


async def test_what_is_taken_back_is_noted_beside_the_fits(stand, monkeypatch):
    judged(monkeypatch, promoted=False, why="worse on topic")
    stand.promote(stand.second)
    await stand.look()
    assert stand.champion.version == stand.first
    assert stand.noted() == [("by hand", f"taken back from {stand.second}: worse on topic")]
    # It was no fit: the labels are as untried as before.
    assert stand.log.attempts.last() == ("", 0)
    assert stand.log.attempts.deep_or_first_at() is None


async def test_what_may_stay_is_noted_too(stand, monkeypatch):
    judged(monkeypatch, promoted=True, why="no slice is worse")
    stand.promote(stand.second)
    await stand.look()
    assert stand.champion.version == stand.second
    assert stand.noted() == [("by hand", f"{stand.second} may stay: no slice is worse")]


async def test_a_champion_that_lacks_labels_which_people_give_says_so(
    stand, monkeypatch, caplog, tmp_path, tiny_checkpoint
):
    judged(monkeypatch, promoted=True, why="no slice is worse")
    checkpoint, weights = read_checkpoint(tiny_checkpoint)
    mood, *others = checkpoint.heads
    renamed = msgspec.structs.replace(mood, labels=("awful", *mood.labels[1:]))
    described = msgspec.structs.replace(checkpoint, heads=(renamed, *others))
    third = write_checkpoint(tmp_path / "third", described, weights).version
    stand.registry.add(tmp_path / "third")
    stand.promote(third)
    await stand.look()
    assert stand.champion.version == third
    assert f"{third} lacks mood ({mood.labels[0]}): labels for that teach nothing" in caplog.text


async def test_who_was_champion_before_is_left_unjudged_and_the_log_says_so(
    stand, monkeypatch, caplog
):
    caplog.set_level("INFO")
    judged(monkeypatch, promoted=True, why="fine")
    stand.promote(stand.second)
    await stand.look()
    judged(monkeypatch, promoted=False, why="worse")
    stand.promote(stand.first)
    await stand.look()
    assert stand.champion.version == stand.first
    assert f"{stand.first} is left unjudged: it was champion before" in caplog.text
    assert len(stand.noted()) == 1


async def test_a_full_disk_leaves_the_verdict_unnoted_and_the_trainer_alive(
    stand, monkeypatch, caplog
):
    judged(monkeypatch, promoted=False, why="worse on topic")
    stand.log._db.execute("PRAGMA query_only = 1")
    stand.promote(stand.second)
    await stand.look()
    assert stand.champion.version == stand.first
    assert "the verdict is not noted" in caplog.text


def away(*_: object, **__: object) -> None:
    raise ModelError("the share is full")


async def test_what_can_not_be_taken_back_now_is_judged_again_until_it_is(stand, monkeypatch):
    judged(monkeypatch, promoted=False, why="worse on topic")
    stand.promote(stand.second)
    with monkeypatch.context() as patch:
        patch.setattr(stand.registry, "point", away)
        for _ in range(2):
            with pytest.raises(ModelError, match="the share is full"):
                await stand.look()
            assert stand.champion.version == stand.first
            assert stand.champion.contender.checkpoint.version == stand.first
    assert stand.noted() == []
    await stand.look()
    assert [one.by for one in stand.registry.history(CHAMPION)] == ["trainer", "eve", "trainer"]
    assert stand.registry.alias(CHAMPION).version == stand.first
    assert stand.champion.alias == stand.registry.alias(CHAMPION)
    assert stand.noted() == [("by hand", f"taken back from {stand.second}: worse on topic")]


async def test_what_can_not_be_compared_now_is_judged_at_the_next_look(stand, monkeypatch):
    judged(monkeypatch, promoted=True, why="fine")
    stand.promote(stand.second)
    with monkeypatch.context() as patch:
        patch.setattr(trainer.promotion.champion, "compare", away)
        with pytest.raises(ModelError):
            await stand.look()
    await stand.look()
    assert stand.champion.version == stand.second
    assert len(stand.noted()) == 1


async def test_whom_somebody_moves_while_the_last_one_is_judged_is_not_taken_back(
    stand, monkeypatch
):
    judged(monkeypatch, promoted=False, why="worse on topic")
    stand.promote(stand.second)

    def meanwhile(*_):
        monkeypatch.setattr(trainer.promotion.champion, "compare", lambda *_: [])
        stand.promote(stand.second)
        return []

    monkeypatch.setattr(trainer.promotion.champion, "compare", meanwhile)
    with pytest.raises(ModelError, match="eve moved it to"):
        await stand.look()
    assert stand.noted() == []
    await stand.look()
    # Twice in a row: she insists.
    assert stand.champion.version == stand.second
    assert stand.registry.alias(CHAMPION).version == stand.second


async def test_a_look_at_a_champion_that_did_not_move_reads_one_move(stand, monkeypatch):
    judged(monkeypatch, promoted=True, why="fine")
    for version in [stand.second, stand.first] * 3:
        stand.promote(version)
    await stand.look()
    read, reads = stand.registry._read, []
    monkeypatch.setattr(stand.registry, "_read", lambda place: reads.append(place) or read(place))
    await stand.look()
    assert len(reads) == 1
