"""Who asks the same at the same time shares an answer, and never one that began too early."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from stream.console.services import Services
from stream.console.shared_answers import ShortCache, SingleFlight
from tests.unit.stream.console.conftest import Caller, fire


async def test_all_who_ask_at_once_share_one_answer() -> None:
    made = itertools.count(1)

    async def make() -> int:
        number = next(made)
        await asyncio.sleep(0)
        return number

    shared = SingleFlight()
    assert await asyncio.gather(*(shared.answer("a", make) for _ in range(50))) == [1] * 50
    assert await shared.answer("a", make) == 2
    assert await asyncio.gather(shared.answer("a", make), shared.answer("b", make)) == [3, 4]


async def test_who_asks_while_an_answer_is_made_sees_what_came_since() -> None:
    world = "before"
    begun, go = asyncio.Event(), asyncio.Event()

    async def make() -> str:
        seen = world
        begun.set()
        await go.wait()
        return seen

    shared = SingleFlight()
    first = asyncio.create_task(shared.answer("a", make))
    await begun.wait()
    world = "after"
    late = [asyncio.create_task(shared.answer("a", make)) for _ in range(3)]
    await asyncio.sleep(0)
    go.set()
    assert await first == "before"
    assert await asyncio.gather(*late) == ["after"] * 3


async def test_an_error_reaches_everyone_and_the_next_may_succeed() -> None:
    async def fail() -> str:
        raise OSError("away")

    async def succeed() -> str:
        return "back"

    shared = SingleFlight()
    for found in await asyncio.gather(
        *(shared.answer("a", fail) for _ in range(3)), return_exceptions=True
    ):
        assert isinstance(found, OSError)
    assert await shared.answer("a", succeed) == "back"


async def test_one_who_leaves_takes_the_answer_from_nobody() -> None:
    go = asyncio.Event()

    async def make() -> str:
        await go.wait()
        return "there"

    shared = SingleFlight()
    leaver, stayer = (asyncio.create_task(shared.answer("a", make)) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    go.set()
    assert await stayer == "there"


async def test_an_answer_is_given_again_while_it_is_fresh() -> None:
    made = itertools.count(1)
    begun, go = asyncio.Event(), asyncio.Event()

    async def make() -> int:
        begun.set()
        await go.wait()
        return next(made)

    lately = ShortCache(fresh_s=3_600)
    early = asyncio.create_task(lately.answer("a", make))
    await begun.wait()
    late = asyncio.create_task(lately.answer("a", make))
    await asyncio.sleep(0)
    go.set()
    assert [await early, await late, await lately.answer("a", make)] == [1, 1, 1]
    assert await lately.answer("b", make) == 2
    never_fresh = ShortCache(fresh_s=0)
    assert [await never_fresh.answer("a", make) for _ in range(2)] == [3, 4]


async def test_a_failure_is_not_given_again() -> None:
    async def fail() -> str:
        raise OSError("away")

    async def succeed() -> str:
        return "back"

    lately = ShortCache(fresh_s=3_600)
    for found in await asyncio.gather(
        *(lately.answer("a", fail) for _ in range(3)), return_exceptions=True
    ):
        assert isinstance(found, OSError)
    assert await lately.answer("a", succeed) == "back"


@pytest.mark.redis
async def test_pages_that_load_the_list_together_have_it_read_twice_at_most(
    page: Caller, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fire(services)
    read = 0
    list_open = services.alerts.list_open

    async def counted(*arguments: object) -> object:
        nonlocal read
        read += 1
        return await list_open(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(services.alerts, "list_open", counted)
    answers = await asyncio.gather(*(page.get("/alerts") for _ in range(20)))
    assert {len(answer["alerts"]) for answer in answers} == {1}
    assert read < 10
