"""Working through alerts and tickets in a browser: no words are lost, no key hits another item."""

from __future__ import annotations

import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from models.registry import CHALLENGER, CHAMPION, Alias
from stream.alerts.matchers import parse_matcher
from stream.alerts.silence_store import SilenceStore
from stream.commands.console import serving
from stream.config.connections import Console
from stream.connections.clients import redis_client
from stream.connections.outbox import open_outbox
from stream.console.users import User, add_user, hash_password
from stream.names import Keys
from stream.records import utc_now
from stream.serving.champions import announcement
from tests.browser.conftest import BROWSERS, System
from tests.fakes import scored
from tests.server_process import free_ports
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

PASSWORD = "correct horse battery"
ARABIC = "انقطعت الخدمة عن العميل!"


async def some_alerts(system: System, page: Page, *tickers: str, view: str = "") -> None:
    for ticker in tickers:
        await system.raise_alert(scored(id=f"n-{ticker}", text="negative"), ticker=ticker)
    await page.goto(f"{system.address}/alerts{view}")
    await expect(page.locator("tr[data-id]")).to_have_count(len(tickers))


async def doubtful_tickets(system: System, page: Page, **fields: Any) -> None:
    await system.publish(
        2, *({"id": f"t-{n}", "text": f"unsure about number {n}", **fields} for n in range(3))
    )
    await page.goto(f"{system.address}/tickets")
    await expect(page.locator(".queue button")).to_have_count(3)


async def test_a_comment_that_could_not_be_sent_stays_to_be_sent_again(
    system: System, page: Page
) -> None:
    identity = await system.raise_alert(scored(id="n-1", text="negative"))
    await page.goto(f"{system.address}/alerts/{identity}")
    await expect(page.locator(".timeline")).to_be_visible()
    await page.keyboard.press("c")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Comment").fill("a long story")
    away = {"status": 503, "json": {"error": "Redis can't be reached"}}
    await page.route("**/comment", lambda route: route.fulfill(**away))
    await dialog.get_by_role("button", name="Comment").click()
    await expect(dialog.get_by_role("alert")).to_have_text("Redis can't be reached.")
    await expect(dialog.get_by_label("Comment")).to_have_value("a long story")
    await page.unroute("**/comment")
    await dialog.get_by_role("button", name="Comment").click()
    await expect(page.locator(".timeline")).to_contain_text("a long story")
    await expect(dialog).to_have_count(0)


async def test_the_end_of_a_session_takes_no_words_and_logging_out_ends_the_newest(
    system: System, page: Page, tmp_path: Path
) -> None:
    users = tmp_path / "users.json"
    add_user(users, User("ann", "operator", hash_password(PASSWORD)))
    (port,) = free_ports(1)
    console = Console(listen=f"127.0.0.1:{port}", users=users)
    identity = await system.raise_alert(scored(id="n-1", text="negative"))

    async def log_in(there: Page, path: str) -> None:
        await there.goto(f"{address}/login?next={path}")
        await there.get_by_label("Name").fill("ann")
        await there.get_by_label("Password").fill(PASSWORD)
        await there.get_by_role("button", name="Log in").click()
        await expect(there.locator("#link")).to_have_text("live")

    assert page.context.browser
    # Tabs of one reader, who has one cookie.
    context = await page.context.browser.new_context()
    page, other = await context.new_page(), await context.new_page()
    async with serving(system.settings.model_copy(update={"console": console})) as address:
        await log_in(page, f"/alerts/{identity}")
        await expect(page.locator(".timeline")).to_be_visible()
        await page.keyboard.press("c")
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Comment").fill("a long story")
        await context.clear_cookies()
        await dialog.get_by_role("button", name="Comment").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("log in in another tab")
        await log_in(other, "/health")
        await dialog.get_by_role("button", name="Comment").click()
        await expect(page.locator(".timeline")).to_contain_text("a long story")

        # The token of this page becomes that of the session before.
        await page.reload()
        await log_in(other, "/health")
        await page.get_by_role("button", name="Log out").click()
        await page.wait_for_url("**/login")
        await page.goto(f"{address}/alerts")
        await expect(page.get_by_label("Password")).to_be_visible()
        await context.close()


async def test_a_key_acts_on_the_row_in_focus_and_on_none_out_of_sight(
    system: System, page: Page
) -> None:
    await some_alerts(system, page, "AAA", "BBB")
    rows = page.locator("tr[data-id]")
    await page.keyboard.press("j")
    await rows.nth(1).locator("a").first.focus()
    await page.keyboard.press("a")
    await expect(rows.nth(1).locator(".c-state")).to_contain_text("acknowledged")
    await expect(rows.nth(0).locator(".c-state")).to_have_text("firing")
    ticker = (await rows.nth(0).locator(".c-subject").inner_text()).split()[-1]
    await page.get_by_role("searchbox").fill(f"subject=ticker:{ticker}")
    await expect(rows).to_have_count(1)
    await page.keyboard.press("Escape")
    await page.keyboard.press("r")
    await expect(page.get_by_text("Choose an alert first")).to_be_visible()
    await rows.nth(0).locator(".c-state").click()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text(ticker)


async def test_the_next_alert_follows_one_that_left_the_list(system: System, page: Page) -> None:
    await some_alerts(system, page, "AAA", "BBB", "CCC", view="?show=new")
    rows = page.locator("tr[data-id]")
    third = await rows.nth(2).locator(".c-subject").inner_text()
    for key in "jja":
        await page.keyboard.press(key)
    await expect(rows).to_have_count(2)
    await page.keyboard.press("j")
    await expect(page.locator("tr.selected .c-subject")).to_have_text(third)


async def test_an_alert_graver_than_what_was_acknowledged_is_unacknowledged(
    system: System, page: Page
) -> None:
    identity = await system.raise_alert(scored(id="n-1", text="negative"))
    async with system.lifecycle() as lifecycle:
        await lifecycle.acknowledge(identity, by="ann")
    await system.raise_alert(scored(id="n-2", text="negative"), severity="critical")
    await page.goto(f"{system.address}/alerts?show=new")
    state = page.locator("tr[data-id] .c-state")
    await expect(state).to_have_text("acknowledged by ann as warning")
    await page.keyboard.press("j")
    await page.keyboard.press("a")
    await expect(page.locator("tr[data-id]")).to_have_count(0)


async def test_buttons_of_an_alert_are_not_drawn_anew_and_keep_the_focus(
    system: System, page: Page
) -> None:
    identity = await system.raise_alert(scored(id="n-1", text="negative"))
    await page.goto(f"{system.address}/alerts/{identity}")
    comment = await page.get_by_role("button", name="Comment").element_handle()
    assert comment
    await page.get_by_role("button", name="Try others").click()
    await expect(page.get_by_text("This console has no scored events yet")).to_be_visible()
    await expect(page.get_by_role("button", name="Try others")).to_be_focused()
    await system.raise_alert(scored(id="n-2", text="negative"))
    await expect(page.locator(".evidence > li")).to_have_count(2)
    assert await comment.evaluate("(button) => button.isConnected")


async def test_a_silence_ends_only_when_that_is_confirmed(system: System, page: Page) -> None:
    async with redis_client(system.settings.redis) as redis:
        store = SilenceStore(redis, Keys(system.settings.redis.prefix))
        await store.create([parse_matcher("rule=x")], author="ann", reason="why", lasts_s=3_600)
        await page.goto(f"{system.address}/alerts")
        end = page.get_by_role("button", name='End the silence of rule="x"')
        await end.click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        assert len(await store.listed()) == 1
        await end.click()
        await page.get_by_role("dialog").get_by_role("button", name="End it").click()
        await expect(end).to_have_count(0)
        assert not await store.listed()


async def test_a_silence_to_come_is_shown_with_its_start(system: System, page: Page) -> None:
    async with redis_client(system.settings.redis) as redis:
        store = SilenceStore(redis, Keys(system.settings.redis.prefix))
        matchers, starts = [parse_matcher("rule=x")], utc_now() + timedelta(days=2)
        await store.create(matchers, author="ann", reason="why", lasts_s=3_600, starts=starts)
        await page.goto(f"{system.address}/alerts")
        line = page.locator(".silences li")
        await expect(line).to_contain_text("from")
        shown = [await one.get_attribute("datetime") for one in await line.locator("time").all()]
        assert [datetime.fromisoformat(one or "") for one in shown] == [
            starts,
            starts + timedelta(seconds=3_600),
        ]


async def test_opened_figures_stay_open_when_models_are_loaded_again(
    system: System, page: Page
) -> None:
    loads: list[str] = []
    page.on("response", lambda one: loads.append(one.url) if one.url.endswith("/models") else None)
    await page.goto(f"{system.address}/models")
    details = page.locator("details:not([open])", has=page.get_by_role("heading", level=2))
    await details.first.locator("summary").first.click()
    await expect(details).to_have_count(0)
    before = len(loads)
    async with redis_client(system.settings.redis) as redis:
        store = SilenceStore(redis, Keys(system.settings.redis.prefix))
        await store.create([parse_matcher("rule=x")], author="ann", reason="why", lasts_s=3_600)
    await until(lambda: len(loads) > before)
    await page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    await expect(details).to_have_count(0)


async def test_a_key_that_is_held_down_labels_once(system: System, page: Page) -> None:
    await doubtful_tickets(system, page)
    asked = await page.locator(".card .id").inner_text()
    await page.keyboard.down("1")
    await page.keyboard.down("1")
    await page.keyboard.up("1")
    await expect(page.locator(".card legend")).to_have_text("What is its risk?")
    await expect(page.locator(".card .id")).to_have_text(asked)


async def test_undo_after_sending_asks_the_same_question_again(system: System, page: Page) -> None:
    await doubtful_tickets(system, page)
    asked, question = page.locator(".card .id"), page.locator(".card legend")
    first = await asked.inner_text()
    await page.keyboard.press("9")
    await expect(page.get_by_text("1 sent from this page")).to_be_visible()
    await page.keyboard.press("u")
    await expect(question).to_have_text("What is its topic?")
    await expect(page.locator("button.said-before")).to_contain_text("cards")
    await page.keyboard.press("8")
    await expect(question).to_have_text("What is its risk?")
    await page.keyboard.press("1")
    await expect(page.get_by_text("3 sent from this page")).to_be_visible()
    await expect(asked).not_to_have_text(first)
    await page.keyboard.press("u")
    await expect(asked).to_have_text(first)
    await expect(question).to_have_text("What is its risk?")


async def test_undo_finds_the_ticket_though_the_list_was_loaded_in_another_order(
    system: System, page: Page
) -> None:
    await doubtful_tickets(system, page)
    entries = page.locator(".queue button")
    await entries.nth(1).click()
    asked = page.locator(".card .id")
    second, words = await asked.inner_text(), await entries.nth(1).locator(".excerpt").inner_text()

    async def turned(route: Route) -> None:
        answer = await route.fetch()
        content = await answer.json()
        content["items"] = [content["items"][place] for place in (2, 0, 1)]
        await route.fulfill(response=answer, json=content)

    await page.route("**/api/v1/review", turned)
    await page.keyboard.press("9")
    # A silence, with which every page loads again.
    await page.evaluate(
        """() => fetch("/api/v1/silences", {
            method: "POST",
            headers: { "X-CSRF-Token": document.querySelector('meta[name="csrf"]').content },
            body: JSON.stringify({ matchers: ["rule=x"], lasts: "2h", reason: "why" }),
        })"""
    )
    await expect(entries.nth(1).locator(".excerpt")).not_to_have_text(words)
    await page.keyboard.press("u")
    await expect(page.locator(".card legend")).to_have_text("What is its topic?")
    await expect(asked).to_have_text(second)


async def test_a_long_customer_leaves_room_for_how_long_a_ticket_waits(
    system: System, page: Page
) -> None:
    await doubtful_tickets(system, page, customer="c" * 120)
    over = "(list) => list.scrollWidth - list.clientWidth"
    assert await page.locator(".queue").evaluate(over) == 0


async def test_arabic_reads_from_right_to_left(system: System, page: Page) -> None:
    await doubtful_tickets(system, page, title=ARABIC)
    places = """(heading) => [0, heading.firstChild.length - 1].map((at) => {
        const range = document.createRange();
        range.setStart(heading.firstChild, at);
        range.setEnd(heading.firstChild, at + 1);
        return range.getBoundingClientRect().x;
    })"""
    first_letter, mark = await page.locator(".card h2").evaluate(places)
    assert mark < first_letter


async def test_text_is_as_large_as_the_reader_has_set_it_in_the_browser(
    system: System, page: Page
) -> None:
    browser = page.context.browser
    assert browser
    large = await browser.browser_type.launch(
        executable_path=next(found for name in BROWSERS if (found := shutil.which(name))),
        args=["--no-sandbox", "--blink-settings=defaultFontSize=32"],
    )
    try:
        there = await large.new_page(viewport={"width": 1280, "height": 800})
        await some_alerts(system, there, "HALC")
        style = "getComputedStyle(document.querySelector('tr[data-id] a')).fontSize"
        assert await there.evaluate(style) == "28px"
        over = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        for path in ("/alerts", "/tickets", "/teach", "/models", "/health"):
            await there.goto(system.address + path)
            await expect(there.locator('main:not([aria-busy="true"])')).to_be_visible()
            assert await there.evaluate(over) <= 0, path
    finally:
        await large.close()


async def test_choosing_a_reason_of_dead_letters_asks_for_nothing_and_keeps_the_focus(
    system: System, page: Page
) -> None:
    await system.publish(0, {"id": "n-1"}, {"id": "n-2", "text": 7})
    await page.goto(f"{system.address}/health")
    letters = page.get_by_role("region", name="Dead letters").locator("tbody tr")
    await expect(letters).to_have_count(2)
    await page.route("**/dead-letters", lambda route: route.abort())
    reason = page.get_by_role("button", name=re.compile("no_text 1"))
    await reason.focus()
    await page.keyboard.press("Enter")
    await expect(letters).to_have_count(1)
    await expect(reason).to_be_focused()


async def label_once(system: System, page: Page) -> None:
    """On a list of three, the first of which then stays in reach for undo."""
    await system.publish(0, *({"id": f"n-{n}", "text": f"unsure about {n}"} for n in range(3)))
    await page.goto(f"{system.address}/teach?head=sentiment")
    await expect(page.locator(".queue button")).to_have_count(3)
    await page.keyboard.press("1")
    await expect(page.get_by_text("1 sent from this page")).to_be_visible()


async def test_a_question_that_a_new_champion_lacks_is_no_longer_asked(
    system: System, page: Page
) -> None:
    await label_once(system, page)
    await page.keyboard.press("k")
    await expect(page.locator("button.said-before")).to_have_count(1)

    async def without_sentiment(route: Route) -> None:
        if "head=sentiment" in route.request.url:
            await route.fulfill(status=409, json={"error": "head 'sentiment' is none of topic"})
            return
        answer = await (await route.fetch(url=f"{system.address}/api/v1/teach?head=topic")).json()
        heads = [one for one in answer["heads"] if one["name"] != "sentiment"]
        await route.fulfill(json=answer | {"heads": heads})

    await page.route("**/api/v1/teach*", without_sentiment)
    redis = redis_client(system.settings.redis)
    async with redis:
        # With which every page loads again.
        await SilenceStore(redis, Keys(system.settings.redis.prefix)).create(
            [parse_matcher("rule=x")], author="ann", reason="why", lasts_s=60
        )
    await expect(page.locator(".card legend")).to_have_text("What is its topic?")
    await page.keyboard.press("u")
    await expect(page.locator("#said")).to_contain_text("That label was sent")
    await expect(page.locator(".card legend")).to_have_text("What is its topic?")


async def test_whoever_labels_is_told_of_a_champion_and_not_of_a_version_in_shadow(
    system: System, page: Page
) -> None:
    await label_once(system, page)
    await page.evaluate(
        """() => {
            window.told = [];
            const banners = document.getElementById("banners");
            new MutationObserver(() => window.told.push(banners.innerText))
                .observe(banners, { childList: true, subtree: true, characterData: true });
        }"""
    )
    since = utc_now()
    moves = [
        Alias(alias=alias, version=version, number=1, since=since, by="trainer", why="why")
        for alias, version in ((CHALLENGER, "new"), (CHAMPION, "new"), (CHALLENGER, ""))
    ]
    async with open_outbox(system.settings.kafka) as outbox:
        for move in moves:
            await outbox.send([announcement(system.settings.topics, move)])
    await system.promote(max(one.version for one in system.registry.versions()), "the last")
    await expect(page.locator("#banners")).to_contain_text("took over")
    await expect(page.locator("#banners")).to_contain_text("the last")
    told = await page.evaluate("() => window.told")
    assert not [one for one in told if "Model  took over" in one]
