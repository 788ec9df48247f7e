"""A version's time in shadow: what is counted, how it ends, and what a restart finds."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.checkpoint import read_checkpoint, write_checkpoint
from models.registry import CHALLENGER, CHAMPION, Alias, Registry
from models.spec import ModelError
from stream.records import Shadowed, TwoAnswers, utc_now
from tests.fakes import settle
from trainer.errors import LabelLogError
from trainer.labels.label_log import LABELS_FILE, LabelLog, SeenEvent
from trainer.promotion.champion import Champion
from trainer.promotion.gate import Limits, Verdict
from trainer.promotion.probation import Agreement, Probation
from trainer.promotion.shadow import ShadowRun


class Wire:
    """A producer that remembers what it was given."""

    def __init__(self) -> None:
        self.said: list[Alias] = []

    async def send_and_wait(self, _topic: str, value: bytes, key: bytes) -> None:
        self.said.append(msgspec.json.decode(value, type=Alias))


class Stand:
    def __init__(self, folder: Path, tiny: Path, **probation: Any) -> None:
        self.folder = folder
        self.registry = Registry(str(folder / "registry"))
        self.wire = Wire()
        self.champion = Champion(self.registry, tiny)
        self.champion.open()
        self.champion.announce_by(self.wire, "models")  # type: ignore[arg-type]
        self.log = LabelLog(folder / LABELS_FILE, remember_events=1_000)
        self._probation = Probation(**({"events": 10, "longest_s": 60.0} | probation))
        self.run = ShadowRun(self.registry, self.champion, self.log, self._probation)
        self.first = self.champion.version
        checkpoint, weights = read_checkpoint(tiny)
        training = {"parent": self.first, "labels": 3, "labels_fingerprint": "abc"}
        described = msgspec.structs.replace(checkpoint, training=training)
        weights["heads.bias"] = weights["heads.bias"] + 1
        self.second = write_checkpoint(folder / "second", described, weights).version
        self.registry.add(folder / "second")
        weights["heads.bias"] = weights["heads.bias"] + 1
        self.third = write_checkpoint(folder / "third", checkpoint, weights).version
        self.registry.add(folder / "third")

    async def begin(self, *, ago_s: float = 0.0) -> None:
        since = utc_now() - timedelta(seconds=ago_s)
        alias = self.registry.point(
            CHALLENGER, self.second, by="trainer", why="better on topic", now=since
        )
        await self.run.begin(alias)

    def answers(self, count: int, *, differ: int = 0) -> None:
        events = [SeenEvent(f"e{n}", "news", f"text {n}") for n in range(count)]
        self.log.append([], events, {})
        self.run.note(
            [
                Shadowed(
                    id=event.id,
                    source="news",
                    champion=self.first,
                    challenger=self.second,
                    heads={
                        "mood": TwoAnswers("bad", 0.6, "good" if n < differ else "bad", 0.7),
                    },
                )
                for n, event in enumerate(events)
            ]
        )

    def moved_by_hand(self, version: str) -> None:
        self.registry.point(CHAMPION, version, by="eve", why="an incident", now=utc_now())

    async def restarted(self) -> ShadowRun:
        self.champion.open()
        again = ShadowRun(self.registry, self.champion, self.log, self._probation)
        await again.resume()
        return again

    def holds(self, alias: str) -> str:
        found = self.registry.alias(alias)
        return found.version if found else ""


@pytest.fixture
def stand(tmp_path: Path, tiny_checkpoint: Path) -> Iterator[Stand]:
    stand = Stand(tmp_path, tiny_checkpoint)
    yield stand
    stand.log.close()


async def test_one_that_agrees_becomes_champion_and_the_history_says_why(stand: Stand) -> None:
    await stand.begin()
    stand.answers(9)
    await stand.run.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.first, stand.second)
    stand.answers(10, differ=0)
    await stand.run.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.second, "")
    why = stand.registry.history(CHAMPION)[-1].why
    assert why == "better on topic; in shadow mood differs in 0 of 10 (0.0 %)"
    assert [move.alias for move in stand.wire.said] == [CHALLENGER, CHAMPION, CHALLENGER]
    assert stand.run.version == ""


async def test_one_that_differs_too_often_is_refused_and_its_labels_count_as_tried(
    stand: Stand,
) -> None:
    await stand.begin()
    stand.answers(10, differ=3)
    await stand.run.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.first, "")
    assert "mood differs in 3 of 10 (30.0 %)" in stand.registry.history(CHALLENGER)[-1].why
    assert stand.log.attempts.last() == ("abc", 3)
    assert stand.log.summary()["attempts"][0]["verdict"].startswith("refused: in shadow mood")


async def test_where_they_differ_people_are_asked_first(stand: Stand) -> None:
    await stand.begin()
    # Of four on which they differ, one is no text for the model.
    stand.answers(10, differ=4)
    stand.log.append([], [SeenEvent("e3", "news", "text 3", "language de")], {})
    asked = stand.run.questions()
    assert {one.event_id for one in asked} == {"e0", "e1", "e2"}
    assert {(one.label, one.why) for one in asked} == {("bad", "the challenger says good")}
    assert {one.text for one in asked} == {"text 0", "text 1", "text 2"}


async def test_an_answer_read_twice_or_of_another_champion_is_not_counted(stand: Stand) -> None:
    await stand.begin()
    stand.answers(4, differ=1)
    stand.answers(4, differ=1)
    other = Shadowed(
        id="e9",
        source="news",
        champion="older",
        challenger=stand.second,
        heads={"mood": TwoAnswers("bad", 0.6, "good", 0.7)},
    )
    stand.run.note([other])
    (mood,) = stand.run.agreements
    assert (mood.answers, mood.differ) == (4, 1)


async def test_once_there_are_enough_answers_no_more_are_kept(stand: Stand) -> None:
    await stand.begin()
    stand.answers(12, differ=1)
    stand.answers(40, differ=30)
    (mood,) = stand.run.agreements
    assert (mood.answers, mood.differ) == (12, 1)
    assert len(stand.run.questions()) == 1


async def test_what_is_counted_as_it_comes_is_what_the_file_says(stand: Stand) -> None:
    await stand.begin()
    stand.answers(4, differ=1)
    stand.answers(9, differ=3)
    # The second time e1 and e2 differ, but what was read first of them counts.
    assert stand.log.shadow.agreements() == {stand.second: [Agreement("mood", 9, 1)]}
    again = LabelLog(stand.folder / LABELS_FILE, remember_events=1_000)
    assert again.shadow.agreements() == stand.log.shadow.agreements()
    again.close()


async def test_a_restart_goes_on_with_the_answers_and_the_time_that_it_had(stand: Stand) -> None:
    await stand.begin(ago_s=61)
    stand.answers(9)
    again = await stand.restarted()
    assert again.version == stand.second
    assert again.agreements[0].answers == 9
    await again.watch()
    assert "only 9 answers in shadow within 60 s" in stand.registry.history(CHALLENGER)[-1].why


async def test_a_clock_that_was_wrong_makes_its_time_no_longer(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.begin(ago_s=-86_400)
    later = time.monotonic() + 61
    monkeypatch.setattr("trainer.promotion.shadow.time.monotonic", lambda: later)
    await stand.run.watch()
    assert "within 60 s" in stand.registry.history(CHALLENGER)[-1].why


async def test_it_goes_on_where_the_trainer_took_another_champion_back(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = Verdict(promoted=False, reasons=("worse on mood",), changes=())
    monkeypatch.setattr("trainer.promotion.champion.judge", lambda *_, **__: worse)
    monkeypatch.setattr("trainer.promotion.champion.compare", lambda *_: [])
    await stand.begin()
    stand.answers(10)
    stand.moved_by_hand(stand.third)
    nothing = settle([], {}, ())
    stand.champion.look_at_once()
    await stand.champion.watch(nothing, Limits(), stand.log.attempts)
    assert stand.holds(CHAMPION) == stand.first
    await stand.run.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.second, "")


async def test_it_ends_when_somebody_else_moves_the_champion(stand: Stand) -> None:
    await stand.begin()
    other = stand.registry.point(CHAMPION, stand.first, by="eve", why="again", now=utc_now())
    await stand.champion.adopt(other)
    await stand.run.watch()
    assert stand.holds(CHALLENGER) == ""
    assert "is gone" in stand.registry.history(CHALLENGER)[-1].why


async def test_whom_somebody_made_champion_in_the_last_moment_is_not_overridden(
    stand: Stand,
) -> None:
    await stand.begin()
    stand.answers(10)
    stand.moved_by_hand(stand.third)
    await stand.run.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.third, "")
    assert stand.run.version == ""
    assert "is gone" in stand.log.summary()["attempts"][0]["verdict"]


async def test_a_challenger_whose_champion_went_while_no_trainer_ran_ends(stand: Stand) -> None:
    await stand.begin()
    stand.answers(10)
    stand.moved_by_hand(stand.third)
    again = await stand.restarted()
    await again.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.third, "")
    assert "is gone" in stand.registry.history(CHALLENGER)[-1].why


async def test_a_champion_that_went_and_came_back_meanwhile_is_the_one_compared_with(
    stand: Stand,
) -> None:
    await stand.begin()
    stand.answers(10)
    stand.moved_by_hand(stand.third)
    stand.moved_by_hand(stand.first)
    again = await stand.restarted()
    await again.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.second, "")


async def test_a_challenger_that_somebody_promoted_while_no_trainer_ran_is_promoted(
    stand: Stand,
) -> None:
    await stand.begin()
    stand.moved_by_hand(stand.second)
    again = await stand.restarted()
    await again.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.second, "")
    assert stand.registry.history(CHALLENGER)[-1].why == "promoted"


async def test_one_whose_end_can_not_be_written_is_in_shadow_until_it_is(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.begin()
    stand.answers(10, differ=3)

    def away(*_: Any, **__: Any) -> Alias:
        raise ModelError("the share is away")

    with monkeypatch.context() as patch:
        patch.setattr(stand.registry, "clear", away)
        for _ in range(2):
            with pytest.raises(ModelError):
                await stand.run.watch()
            assert (stand.run.version, stand.holds(CHALLENGER)) == (stand.second, stand.second)
    assert stand.log.summary()["attempts"] == []
    await stand.run.watch()
    assert (stand.run.version, stand.holds(CHALLENGER)) == ("", "")
    assert stand.wire.said[-1].version == ""
    assert len(stand.log.summary()["attempts"]) == 1


async def test_an_end_that_the_log_can_not_take_yet_clears_the_alias_once(stand: Stand) -> None:
    await stand.begin()
    stand.answers(10, differ=3)
    stand.log._db.execute("PRAGMA query_only = 1")
    for _ in range(2):
        with pytest.raises(LabelLogError):
            await stand.run.watch()
    stand.log._db.execute("PRAGMA query_only = 0")
    await stand.run.watch()
    assert [one.version for one in stand.registry.history(CHALLENGER)] == [stand.second, ""]
    assert len(stand.log.summary()["attempts"]) == 1
    assert stand.run.version == ""


async def test_a_challenger_whose_files_are_gone_ends_all_the_same(stand: Stand) -> None:
    await stand.begin()
    shutil.rmtree(stand.registry.folder(stand.second))
    again = await stand.restarted()
    await again.watch()
    assert (stand.holds(CHAMPION), stand.holds(CHALLENGER)) == (stand.first, "")
    assert again.version == ""
