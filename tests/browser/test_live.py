"""Live updates in a browser: what is lost, overtaken or away for a while must not stay unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, timedelta

import pytest
from playwright.async_api import Page, Route, expect

from stream.records import utc_now
from tests.browser.conftest import System
from tests.fakes import scored
from tests.until import until

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.timeout(240),
    # One browser for all of them lives in one loop.
    pytest.mark.asyncio(loop_scope="session"),
]

DEADLINE_S = 30.0
expect.set_options(timeout=DEADLINE_S * 1000)

LOST = "No connection to the console"


async def hide(page: Page, hidden: bool) -> None:
    """As when the reader goes over to another tab and comes back."""
    await page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


async def pages_open(system: System, page: Page, count: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await page.request.get(f"{system.address}/api/v1/health")
            if (await answer.json())["viewers"] == count:
                return
            await asyncio.sleep(0.1)


async def test_after_a_refused_stream_the_list_is_loaded_again(system: System, page: Page) -> None:
    full = {"status": 503, "json": {"error": "too many pages are open"}}
    await page.route("**/live", lambda route: route.fulfill(**full))
    await page.goto(f"{system.address}/alerts")
    await expect(page.get_by_text("No alert is open")).to_be_visible()
    await system.raise_alert(scored(id="n-1", text="negative"))
    await page.unroute("**/live")
    await expect(page.locator("tr[data-id]")).to_have_count(1)
    await expect(page.locator("#banners")).to_be_empty()


async def test_the_loss_is_told_once_and_with_its_own_time(system: System, page: Page) -> None:
    tries: list[str] = []
    page.on("request", lambda one: tries.append(one.url) if one.url.endswith("/live") else None)
    await page.route("**/live", lambda route: route.abort())
    await page.goto(f"{system.address}/alerts")
    told = page.get_by_text(LOST)
    await expect(told).to_be_visible()
    words = await told.inner_text()
    asked = len(tries)
    await until(lambda: len(tries) >= asked + 2)
    await expect(told).to_have_text(words)
    await page.get_by_role("button", name="Dismiss").click()
    asked = len(tries)
    await until(lambda: len(tries) >= asked + 2)
    await expect(page.locator("#banners")).to_be_empty()
    await expect(page.locator("#link")).not_to_have_text("live")


@asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A port that leads to that one while the event is set; else it takes and passes nothing."""
    whole = asyncio.Event()
    whole.set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65_536):
                await whole.wait()
                writer.write(part)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole.wait()
        onward, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(carry(reader, back), carry(onward, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], whole
    finally:
        server.close()


async def test_a_connection_that_died_without_a_word_is_noticed(system: System, page: Page) -> None:
    await page.clock.install()
    async with wire_to(int(system.address.rpartition(":")[2])) as (port, whole):
        await page.goto(f"http://127.0.0.1:{port}/alerts")
        await expect(page.locator("#link")).to_have_text("live")
        await expect(page.get_by_text("No alert is open")).to_be_visible()
        whole.clear()
        await system.raise_alert(scored(id="n-1", text="negative"))
        await page.clock.fast_forward(20_000)
        await page.clock.fast_forward(10_000)
        await expect(page.get_by_text(LOST)).to_be_visible()
        whole.set()
        await page.clock.fast_forward(20_000)
        await expect(page.locator("tr[data-id]")).to_have_count(1)
        await expect(page.locator("#link")).to_have_text("live")
        await page.goto("about:blank")


async def test_only_the_list_of_alerts_stays_connected_in_a_hidden_tab(
    system: System, page: Page
) -> None:
    await page.goto(f"{system.address}/subjects/ticker/HALC")
    await pages_open(system, page, 1)
    await hide(page, True)
    await pages_open(system, page, 0)
    identity = await system.raise_alert(scored(id="n-1", text="negative"))
    await hide(page, False)
    await pages_open(system, page, 1)
    await expect(page.locator(f'a[href="/alerts/{identity}"]')).to_be_visible()
    await page.goto(f"{system.address}/alerts")
    await expect(page.locator("tr[data-id]")).to_have_count(1)
    await hide(page, True)
    await system.raise_alert(scored(id="n-2", text="negative"), severity="critical")
    await expect(page).to_have_title("(1 critical) Alerts · Bellwether")


async def test_hidden_lists_of_alerts_share_one_connection_and_all_count(
    system: System, page: Page
) -> None:
    assert page.context.browser
    context = await page.context.browser.new_context()
    tabs = [await context.new_page() for _ in range(8)]
    # A browser has six connections a host; a list that is hidden gives its own up after a while.
    for some, shared in ((tabs[:4], 0), (tabs[4:], 1)):
        for tab in some:
            await tab.goto(f"{system.address}/alerts")
        await pages_open(system, page, shared + len(some))
        for tab in some:
            await hide(tab, True)
        await pages_open(system, page, 1)
    await system.raise_alert(scored(id="n-1", text="negative"), severity="critical")
    for tab in tabs:
        await expect(tab).to_have_title("(1 critical) Alerts · Bellwether")
    # Another takes over from the one that heard for all.
    leader, *left = tabs
    await leader.close()
    await pages_open(system, page, 1)
    await system.raise_alert(scored(id="n-2", text="negative"), ticker="Z", severity="critical")
    for tab in left:
        await expect(tab).to_have_title("(2 critical) Alerts · Bellwether")
    await context.close()


async def test_a_tab_that_was_opened_in_the_background_is_up_to_date_when_looked_at(
    system: System, page: Page
) -> None:
    hidden = "Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })"
    await page.add_init_script(hidden)
    identity = await system.raise_alert(scored(id="n-1", text="negative"))
    await page.goto(f"{system.address}/alerts/{identity}")
    await expect(page.locator(".evidence > li")).to_have_count(1)
    assert page.context.browser
    other = await page.context.browser.new_page()
    await other.goto(f"{system.address}/alerts")
    await expect(other.locator("#link")).to_have_text("live")
    await system.raise_alert(scored(id="n-2", text="negative"))
    # The console has dealt with it by now.
    await expect(other.locator("tr[data-id] .c-count")).to_have_text("2")
    await hide(page, False)
    await expect(page.locator(".evidence > li")).to_have_count(2)


async def test_what_came_in_while_the_list_was_on_its_way_is_not_lost(
    system: System, page: Page
) -> None:
    identity = await system.raise_alert(scored(id="n-1", text="negative"))
    read, released = asyncio.Event(), asyncio.Event()

    async def slowly(route: Route) -> None:
        answer = await route.fetch()
        read.set()
        await released.wait()
        await route.fulfill(response=answer)

    await page.route("**/api/v1/alerts?state=open", slowly)
    await page.goto(f"{system.address}/alerts")
    async with asyncio.timeout(DEADLINE_S):
        await read.wait()
    async with system.lifecycle() as lifecycle:
        await lifecycle.acknowledge(identity, by="ann")
    state = page.locator("tr[data-id] .c-state")
    await expect(state).to_contain_text("acknowledged by ann")
    released.set()
    await expect(page.locator('main:not([aria-busy="true"])')).to_be_visible()
    await expect(state).to_contain_text("acknowledged by ann")


async def test_an_answer_that_was_overtaken_is_not_shown(system: System, page: Page) -> None:
    await system.raise_alert(scored(id="n-1", text="negative"))
    await page.goto(f"{system.address}/alerts")
    await expect(page.locator("tr[data-id]")).to_have_count(1)
    asked, released, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late(route: Route) -> None:
        answer = await route.fetch()
        asked.set()
        await released.wait()
        await route.fulfill(response=answer)
        answered.set()

    await page.route("**/api/v1/alerts?state=resolved", late)
    which = page.get_by_label("Which alerts")
    await which.select_option("resolved")
    async with asyncio.timeout(DEADLINE_S):
        await asked.wait()
    await which.select_option("active")
    await expect(page.get_by_text("1 alert", exact=True)).to_be_visible()
    async with page.expect_request_finished(lambda one: one.url.endswith("state=resolved")):
        released.set()
    await answered.wait()
    # Two frames later the page has dealt with it.
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    await expect(page.locator("tr[data-id]")).to_have_count(1)


async def test_ages_are_right_on_a_machine_whose_clock_is_not(system: System, page: Page) -> None:
    await system.raise_alert(scored(id="n-1", text="negative", time=utc_now()))
    await page.clock.install(time=utc_now() + timedelta(hours=7))
    await page.goto(f"{system.address}/alerts")
    age = page.locator("tr[data-id] .c-age time")
    await expect(age).to_be_visible()
    assert not (await age.inner_text()).endswith("h")


async def test_a_time_of_today_gets_its_date_at_midnight(system: System, page: Page) -> None:
    day = (utc_now() - timedelta(days=2)).astimezone(UTC)
    noon = day.replace(hour=12, minute=0, second=0, microsecond=0)
    await system.raise_alert(scored(id="n-1", text="negative", time=noon))
    browser = page.context.browser
    assert browser
    there = await browser.new_page(timezone_id="UTC")
    await there.clock.install(time=noon.replace(hour=23, minute=59))
    await there.goto(f"{system.address}/alerts")
    last = there.locator("tr[data-id] .c-last")
    await expect(last).to_have_text("12:00:00")
    await there.clock.fast_forward(120_000)
    await expect(last).to_contain_text(f"{noon:%b}")
