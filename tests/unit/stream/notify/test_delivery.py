"""One receiver's courier: retries what is worth it, gives up in the end, and stays in its lane."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from stream.notify.delivery import QUEUE, Courier, Outcome
from stream.notify.notification import Notification, RefusedError, TryAgainError
from tests.fakes import NOON, notification
from tests.until import until


class FakeSink:
    """Answers with what stands next in its list; after that it takes everything."""

    def __init__(self, *answers: Exception) -> None:
        self.answers = list(answers)
        self.tries: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, one: Notification) -> None:
        self.tries.append(one.id)
        await self.gate.wait()
        if self.answers:
            raise self.answers.pop(0)

    async def close(self) -> None:
        pass


@asynccontextmanager
async def courier(
    sink: FakeSink, outcomes: list[Outcome], give_up_after_s: float = 60.0
) -> AsyncIterator[Courier]:
    made = Courier(
        "pager", sink, give_up_after_s=give_up_after_s, ended=outcomes.append, first_wait_s=0.001
    )
    made.start()
    yield made
    await made.stop()


async def test_what_fails_for_now_is_tried_until_it_arrives() -> None:
    sink, outcomes = FakeSink(TryAgainError("503"), TryAgainError("gone", 0.01)), []
    async with courier(sink, outcomes) as made:
        assert made.offer(notification("n-1"))
        await until(lambda: bool(outcomes))
    assert sink.tries == ["n-1"] * 3
    assert [(one.notification.id, one.error) for one in outcomes] == [("n-1", "")]


@pytest.mark.parametrize("answer", [RefusedError("answered 404"), ValueError("a fault of ours")])
async def test_what_is_refused_for_good_is_given_up_at_once_and_named(
    answer: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    sink, outcomes = FakeSink(answer), []
    with caplog.at_level(logging.ERROR):
        async with courier(sink, outcomes) as made:
            made.offer(notification("n-1"))
            made.offer(notification("n-2"))
            await until(lambda: len(outcomes) == 2)
    assert sink.tries == ["n-1", "n-2"]
    assert str(answer) in outcomes[0].error
    assert outcomes[1].error == ""
    assert "receiver pager: notification n-1 given up" in caplog.text


async def test_retrying_ends() -> None:
    sink, outcomes = FakeSink(*(TryAgainError("503") for _ in range(1_000))), []
    async with courier(sink, outcomes, give_up_after_s=0.05) as made:
        made.offer(notification("n-1"))
        await until(lambda: bool(outcomes))
    assert "503 (after" in outcomes[0].error
    assert len(sink.tries) > 1


async def test_a_receiver_that_asks_for_more_time_than_there_is_is_given_up() -> None:
    sink, outcomes = FakeSink(TryAgainError("429", after_s=3_600)), []
    async with courier(sink, outcomes) as made:
        made.offer(notification("n-1"))
        await until(lambda: bool(outcomes))
    assert sink.tries == ["n-1"]


async def test_the_queue_is_bounded_and_takes_each_notification_once() -> None:
    sink, outcomes = FakeSink(), []
    sink.gate.clear()
    async with courier(sink, outcomes) as made:
        made.offer(notification("first"))
        await until(lambda: sink.tries == ["first"])
        assert made.offer(notification("first"))
        assert all(made.offer(notification(f"n-{number}")) for number in range(QUEUE))
        assert not made.offer(notification("one too many"))
        sink.gate.set()
        await until(lambda: len(outcomes) == QUEUE + 1)
        assert made.offer(notification("one too many"))
        made.forget("first")
        made.offer(notification("first"))
        await until(lambda: len(outcomes) == QUEUE + 3)
    assert sink.tries.count("first") == 2


async def test_abandoned_work_ends_in_no_outcome() -> None:
    sink, outcomes = FakeSink(), []
    sink.gate.clear()
    async with courier(sink, outcomes) as made:
        for number in range(5):
            made.offer(notification(f"n-{number}"))
        await until(lambda: bool(sink.tries))
        await made.abandon()
        sink.gate.set()
        made.offer(notification("n-9"))
        await until(lambda: bool(outcomes))
    assert [one.notification.id for one in outcomes] == ["n-9"]
    assert outcomes[0].notification.created_at == NOON


async def test_nothing_leaves_while_another_worker_may_send_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stream.notify.delivery.LOOK_S", 0.002)
    sink, outcomes = FakeSink(), list[Outcome]()
    asked: list[bool] = []

    def may_send() -> bool:
        asked.append(len(asked) >= 3)
        return asked[-1]

    made = Courier("pager", sink, give_up_after_s=60, ended=outcomes.append, may_send=may_send)
    made.start()
    made.offer(notification("n-1"))
    await until(lambda: bool(outcomes))
    await made.stop()
    assert asked == [False, False, False, True]
    assert sink.tries == ["n-1"]
