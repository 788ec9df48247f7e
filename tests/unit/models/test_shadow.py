"""A challenger in shadow answers its share, and the answers that count stay as they were."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import torch

from models.batcher import Batcher
from models.heads import JointHeads
from models.predictor import load_predictor
from models.results import Result
from models.shadow import Answered, Shadow
from models.spec import Predictor, Scores
from models.stub import StubPredictor
from models.window import Waiting
from tests.tiny_model import HEADS

DEADLINE_S = 10.0
UNREAD = "e-400"
TEXTS = {f"e-{n}": f"negative text number {n}" for n in range(400)}


def run(champion: Predictor, shadow: Shadow[str]) -> dict[str, Scores]:
    """The champion's answers to TEXTS; returns when the shadow owes nothing more."""
    live: list[Result[str]] = []
    done = threading.Event()

    def deliver(results: list[Result[str]]) -> None:
        live.extend(results)
        if len(live) == len(TEXTS):
            done.set()

    batcher: Batcher[str] = Batcher(
        champion, max_batch_tokens=4_096, deliver=deliver, broken=lambda _: done.set()
    )
    batcher.shadow = shadow
    batcher.submit(list(TEXTS.items()))
    batcher.start()
    assert done.wait(DEADLINE_S)
    assert batcher.stop(DEADLINE_S)
    shadow.catch_up(lambda: True, 0.0)
    return {one.item: one.scores for one in live if one.scores is not None}


def beside(challenger: Predictor, share: float, answers: list[Answered]) -> Shadow[str]:
    return Shadow(
        challenger,
        share=share,
        id_of=str,
        reads=lambda item: item != UNREAD,
        deliver=answers.extend,
    )


def test_the_same_share_of_events_is_answered_by_every_worker() -> None:
    first: list[Answered] = []
    second: list[Answered] = []
    for answers in (first, second):
        challenger = StubPredictor(version="challenger")
        run(StubPredictor(version="champion"), beside(challenger, 0.25, answers))
    assert {one.id for one in first} == {one.id for one in second}
    assert len(first) == len({one.id for one in first})
    assert 60 < len(first) < 140
    assert {(one.champion, one.challenger) for one in first} == {("champion", "challenger")}


def test_what_the_model_is_set_not_to_read_is_answered_by_the_champion_alone(monkeypatch) -> None:
    monkeypatch.setitem(TEXTS, UNREAD, "wo ist meine Karte")
    answers: list[Answered] = []
    live = run(StubPredictor(), beside(StubPredictor(version="challenger"), 1.0, answers))
    assert live.keys() - {one.id for one in answers} == {UNREAD}


def test_a_challenger_that_fails_is_given_up_and_costs_no_answer(caplog) -> None:
    answers: list[Answered] = []
    shadow = beside(StubPredictor(version="bad", fail_on="number"), 1.0, answers)
    live = run(StubPredictor(), shadow)
    assert len(live) == len(TEXTS)
    assert answers == []
    assert shadow.given_up
    assert "challenger bad fails and is given up" in caplog.text


def test_heads_on_the_same_encoder_answer_from_the_champions_own_pass(
    tiny_checkpoint, monkeypatch
) -> None:
    champion = load_predictor(tiny_checkpoint, device="cpu", precision="fp32")
    torch.manual_seed(5)
    challenger = champion.with_heads(JointHeads(HEADS, champion.hidden), version="heads")
    alone = [challenger.predict(champion.tokenize([text]))[0] for text in TEXTS.values()]
    expected = [champion.predict(champion.tokenize([text]))[0] for text in TEXTS.values()]
    monkeypatch.setattr(challenger, "predict", None)
    answers: list[Answered] = []
    live = run(champion, beside(challenger, 1.0, answers))

    by_id = {one.id: one for one in answers}
    for number, event_id in enumerate(TEXTS):
        for name, answer in expected[number].items():
            assert live[event_id][name].confidence == pytest.approx(answer.confidence, abs=1e-4)
        for name, answer in alone[number].items():
            said = by_id[event_id].would_say[name]
            assert said.scores == pytest.approx(answer.scores, abs=1e-4)


def owing(answers: list[Answered]) -> Shadow[str]:
    """One that has every answer to TEXTS to give alone."""
    shadow = beside(StubPredictor(version="challenger"), 1.0, answers)
    champion = StubPredictor()
    batch = [
        Waiting(event_id, text, 0.0, 0.0, 0, champion.tokenize([text])[0])
        for event_id, text in TEXTS.items()
    ]
    shadow.predict(champion, batch, ["news"] * len(batch))
    return shadow


def test_a_busy_model_gives_a_share_of_the_time_since_the_challenger_came() -> None:
    """Not of all since the worker began: live texts waited minutes for a challenger."""
    answers: list[Answered] = []
    shadow = owing(answers)
    for live_s in (36_000.0, 36_000.0):
        shadow.catch_up(lambda: False, live_s)
        assert answers == []
    shadow.catch_up(lambda: False, 72_000.0)
    assert {one.id for one in answers} == set(TEXTS)


def test_alone_the_challenger_waits_until_the_model_is_idle() -> None:
    answers: list[Answered] = []
    shadow = owing(answers)
    shadow.catch_up(lambda: False, live_s=0.0)
    assert answers == []
    shadow.catch_up(lambda: True, live_s=0.0)
    assert {one.id for one in answers} == set(TEXTS)


def test_a_lane_does_not_wait_for_another_that_runs_the_challenger() -> None:
    running, go_on = threading.Event(), threading.Event()

    class Slow(StubPredictor):
        def predict(self, tokens: Sequence[list[int]], kinds: Sequence[str] = ()) -> list[Scores]:
            running.set()
            assert go_on.wait(DEADLINE_S)
            return super().predict(tokens, kinds)

    shadow = beside(Slow(version="challenger"), 1.0, [])
    champion = StubPredictor(version="champion")
    texts = [Waiting("e-1", "negative", 0.0, 0.0, 0, champion.tokenize(["negative"])[0])]
    shadow.predict(champion, texts, [""])
    lanes = [
        threading.Thread(target=shadow.catch_up, args=(lambda: True, 0.0), daemon=True)
        for _ in range(2)
    ]
    lanes[0].start()
    assert running.wait(DEADLINE_S)
    lanes[1].start()
    lanes[1].join(DEADLINE_S)
    assert not lanes[1].is_alive()
    go_on.set()
    lanes[0].join(DEADLINE_S)
    assert not lanes[0].is_alive()
