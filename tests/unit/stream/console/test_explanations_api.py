"""Which words decided: asked for one at a time, remembered, and said to be impossible with why."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.description import Checkpoint, read_verified
from models.explanation import Attribution, Word
from models.spec import HeadScore, ModelError
from stream.commands.explainers import alert_words
from stream.config.connections import Console
from stream.config.settings import Model, Settings
from stream.console.errors import RefusedError
from stream.console.explanations import MOST_WAITING, REMEMBERED, Explanations
from stream.console.services import Services
from stream.explain.explanation import ExplainedAlert, ExplainedEvent, ExplainedHead, ExplainedText
from stream.records import Alert, Evidence
from tests.fakes import NOON, alert, scores
from tests.unit.stream.console.conftest import Caller, fire, opened


class Explaining:
    """Answers with the text itself; waits for `go` where it is told to, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self, one: Alert) -> ExplainedAlert:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        (event,) = one.evidence
        self.asked.append(event.event_id)
        assert self.go.wait(20)
        self.at_once -= 1
        words = tuple(Word(word, 1.0, read=True) for word in event.text.split())
        head = ExplainedHead(
            score=HeadScore("negative", 0.9, {"negative": 0.9}, abstained=False),
            attribution=Attribution("sentiment", "negative", 0.9, 2.0, -1.0, 0.01, 32, words),
            smallest_edit=None,
            nearest=[],
        )
        explained = ExplainedEvent(
            event_id=event.event_id,
            source=event.source,
            time=event.time,
            origin=None,
            copies=0,
            scores=event.scores,
            explained=ExplainedText(event.text, one.model, {"sentiment": head}),
        )
        return ExplainedAlert(one, None, False, [], [explained])


def event(number: int) -> Evidence:
    return Evidence(f"e-{number}", "news", NOON, f"text {number}", scores())


async def test_an_event_of_an_alert_is_explained_over_http(
    services: Services, connect: Any
) -> None:
    explaining = Explaining()
    with_model = Services(**{**vars(services), "explanations": Explanations(explaining)})
    page = await opened(await connect(with_model))
    raised = await fire(services, text="Halcyon lost")
    (one,) = raised.evidence
    found = await page.get(f"/alerts/{raised.id}/words?event={one.event_id}")
    assert found["model"] == "m-1"
    words = found["heads"]["sentiment"]["attribution"]["words"]
    assert [word["text"] for word in words] == ["Halcyon", "lost"]
    for path in (f"/alerts/{raised.id}/words?event=other", "/alerts/none-1/words?event=other"):
        assert (await page.client.get(f"/api/v1{path}")).status == 404


async def test_of_two_events_with_one_id_the_one_of_the_source_asked_for_is_explained(
    services: Services, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_model = Services(**{**vars(services), "explanations": Explanations(Explaining())})
    page = await opened(await connect(with_model))
    both = (event(1), msgspec.structs.replace(event(1), source="social", text="another"))

    async def found(_: str) -> Alert:
        return alert(evidence=both)

    monkeypatch.setattr(services.alerts, "get", found)
    path = f"/alerts/{'a' * 16}-1/words?event=e-1"
    texts = [(await page.get(f"{path}&source={kind}"))["text"] for kind in ("news", "social")]
    assert texts == ["text 1", "another"]
    assert (await page.get(path))["text"] == "text 1"


async def test_without_the_model_the_remedy_is_said(page: Caller, services: Services) -> None:
    raised = await fire(services)
    path = f"/api/v1/alerts/{raised.id}/words?event={raised.evidence[0].event_id}"
    answer = await page.client.get(path)
    assert answer.status == 409
    assert "set model.path" in (await answer.json())["error"]


async def test_explanations_are_made_one_at_a_time_and_once() -> None:
    explaining = Explaining()
    explanations = Explanations(explaining)
    wanted = [explanations.of(alert(), event(number % 3)) for number in range(6)]
    texts = [found.text for found in await asyncio.gather(*wanted)]
    assert texts == ["text 0", "text 1", "text 2"] * 2
    await explanations.of(alert(), event(1))
    assert sorted(explaining.asked) == ["e-0", "e-1", "e-2"]
    assert explaining.most_at_once == 1


async def test_a_reader_who_leaves_takes_nothing_from_the_next() -> None:
    explaining = Explaining()
    explaining.go.clear()
    explanations = Explanations(explaining)
    first = asyncio.create_task(explanations.of(alert(), event(0)))
    second = asyncio.create_task(explanations.of(alert(), event(0)))
    await asyncio.sleep(0)
    first.cancel()
    explaining.go.set()
    assert (await second).text == "text 0"
    assert explaining.asked == ["e-0"]


async def test_too_many_that_wait_are_refused_and_a_failure_is_not_remembered() -> None:
    explaining = Explaining()
    explaining.go.clear()
    failing = True

    def explain(one: Alert) -> ExplainedAlert:
        found = explaining(one)
        if failing:
            raise ModelError("no model")
        return found

    explanations = Explanations(explain)
    waiting = [
        asyncio.create_task(explanations.of(alert(), event(number)))
        for number in range(MOST_WAITING)
    ]
    await asyncio.sleep(0)
    with pytest.raises(RefusedError, match="ask again"):
        await explanations.of(alert(), event(99))
    explaining.go.set()
    for task in waiting:
        with pytest.raises(ModelError):
            await task
    failing = False
    assert (await explanations.of(alert(), event(0))).text == "text 0"


async def test_the_latest_explanations_are_remembered_and_no_more() -> None:
    explaining = Explaining()
    explanations = Explanations(explaining)
    for number in range(REMEMBERED + 1):
        await explanations.of(alert(), event(number))
    await explanations.of(alert(), event(REMEMBERED))
    assert len(explaining.asked) == REMEMBERED + 1
    await explanations.of(alert(), event(0))
    assert explaining.asked[-1] == "e-0"


def settings_of(folder: Path) -> Settings:
    return Settings(model=Model(path=folder), console=Console(listen="127.0.0.1:0"))


def test_the_model_that_scored_the_event_is_asked(tiny_checkpoint: Path) -> None:
    checkpoint: Checkpoint = read_verified(tiny_checkpoint)[0]
    explain: Callable[[Alert], ExplainedAlert] = alert_words(settings_of(tiny_checkpoint))
    (explained,) = explain(alert(model=checkpoint.version)).events
    assert explained.explained.model == checkpoint.version
    assert explained.explained.heads.keys() == {"mood", "kind"}
    with pytest.raises(ModelError, match=r"other-1.*set model\.path or model\.registry"):
        explain(alert(model="other-1"))
