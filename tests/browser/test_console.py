"""The console as people use it: a real Chromium on real Kafka, Redis and worker."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaConsumer
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from models.description import read_verified, shipped
from models.registry import CHAMPION
from stream.commands.console import serving
from stream.config.connections import Console
from stream.connections.clients import redis_client
from stream.console.users import User, add_user, hash_password
from stream.names import Keys
from stream.notify.delivery import Trouble
from stream.notify.redis_journal import RedisJournal
from stream.records import Scored, utc_now
from tests.browser.conftest import System, put_in
from tests.fakes import scored
from tests.redis_server import RedisServer
from tests.server_process import free_ports

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.timeout(240),
    # One browser for all of them lives in one loop.
    pytest.mark.asyncio(loop_scope="session"),
]

DEADLINE_MS = 30_000
expect.set_options(timeout=DEADLINE_MS)

# Tags that cleaning leaves; those that it takes out never come here.
HOSTILE = '<svg onload="window.ran=1"><details open ontoggle="window.ran=1"> negative high'
PAGES = ("/nowhere", "/alerts", "/tickets", "/teach?head=topic", "/markets", "/models", "/health")


def bad_news(number: int, ticker: str, text: str = "negative earnings high") -> dict[str, Any]:
    return {"id": f"n-{number}", "text": text, "tickers": [ticker]}


async def test_an_alert_appears_is_acknowledged_and_its_group_is_silenced(
    system: System, page: Page
) -> None:
    await page.goto(f"{system.address}/alerts")
    await expect(page.get_by_text("No alert is open")).to_be_visible()
    await system.publish(0, bad_news(1, "HALC"))
    line = page.locator("tr[data-id]", has_text="HALC").first
    await expect(line).to_be_visible()
    await expect(line.locator(".c-count")).to_have_text("1")
    await system.publish(0, bad_news(2, "HALC", "negative earnings and more trouble, high"))
    await expect(line.locator(".c-count")).to_have_text("2")

    await page.keyboard.press("j")
    await page.keyboard.press("a")
    await expect(line.locator(".c-state")).to_contain_text("ack")

    await page.get_by_role("button", name=re.compile("Silence rule negative-news")).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Hides 1 of ")
    await expect(dialog.get_by_label("Reason")).to_be_focused()
    await page.keyboard.type("a drill")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("a drill")).to_be_visible()
    await expect(line).to_be_hidden()

    await page.get_by_label("Which alerts").select_option("silenced")
    await expect(line.locator(".c-state")).to_contain_text("silenced")
    assert "show=silenced" in page.url
    await page.reload()
    await expect(line).to_be_visible()
    await line.get_by_role("link").first.click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("HALC")
    await expect(page.locator(".timeline")).to_contain_text("acknowledged")
    await expect(page.locator("mark").first).to_be_visible()


async def test_the_words_that_decided_are_shown_on_demand(system: System, page: Page) -> None:
    text = "Halcyon shares plunge after regulators open a fraud investigation. <b>More</b> soon."
    begun = utc_now()

    def event(number: int) -> Scored:
        at = begun + timedelta(seconds=number)
        return scored(id=f"e-{number}", text=text, model=read_version(), time=at)

    await page.goto(f"{system.address}/alerts/{await system.raise_alert(event(0), event(1))}")
    evidence = page.locator(".evidence > li")
    await expect(evidence).to_have_count(2)
    await expect(page.locator(".why")).to_have_count(0)
    await page.get_by_role("button", name="Which words decided?").click()
    await expect(page.locator(".why")).to_have_count(2)
    await expect(page.locator(".why h3").first).to_have_text(re.compile("sentiment negative"))
    await expect(page.locator(".why mark.for").first).to_be_visible()
    await expect(page.locator(".why .hint").first).to_contain_text(re.compile(r"For it: .*\+\d"))
    await expect(page.locator(".why").first).to_contain_text("<b>More</b>")
    assert not await accessibility_faults(page)
    await system.raise_alert(event(2))
    await expect(evidence).to_have_count(3)
    await expect(page.locator(".why")).to_have_count(2)


async def test_without_the_model_that_scored_it_the_page_says_what_to_do(
    system: System, page: Page
) -> None:
    await system.publish(0, bad_news(1, "HALC"))
    await page.goto(f"{system.address}/alerts")
    await page.locator("tr[data-id] a").first.click()
    await page.get_by_role("button", name="Which words decided?").click()
    fault = page.get_by_text("model stub, which scored the event, is not in model.registry")
    await expect(fault).to_contain_text("set model.path or model.registry")


def read_version() -> str:
    return read_verified(shipped())[0].version


async def test_filters_live_in_the_address_and_groups_fold(system: System, page: Page) -> None:
    await system.publish(0, bad_news(1, "AAA"), bad_news(2, "BBB"))
    await page.goto(f"{system.address}/alerts")
    await expect(page.locator("tr[data-id]")).to_have_count(2)
    await page.keyboard.press("/")
    await page.keyboard.type("subject=ticker:AAA")
    await expect(page.locator("tr[data-id]")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("searchbox")).to_have_value("subject=ticker:AAA")
    await page.keyboard.press("j")
    await expect(page.locator("tr.selected")).to_contain_text("AAA")
    await page.goto(page.url)
    await expect(page.locator("tr[data-id]")).to_have_count(1)
    await page.get_by_role("button", name="negative-news-on-ticker", expanded=True).click()
    await expect(page.locator("tr[data-id]")).to_have_count(0)
    assert "fold=" in page.url
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("acknowledge")
    await page.keyboard.press("Escape")
    await page.get_by_role("searchbox").fill("nothing like it")
    await page.get_by_role("button", name="Show all").click()
    await expect(page.get_by_text("2 alerts")).to_be_visible()


async def test_a_long_list_comes_whole_and_keeps_the_focus_while_it_changes(
    system: System, page: Page
) -> None:
    tickers = [f"T{number:03}" for number in range(250)]
    for ticker in tickers:
        await system.raise_alert(scored(id=ticker), ticker=ticker)
    await page.goto(f"{system.address}/alerts")
    rows = page.locator("tr[data-id]")
    await expect(rows).to_have_count(250)
    shown = await page.locator("tr[data-id] .c-subject").all_inner_texts()
    assert sorted(shown) == [f"ticker {ticker}" for ticker in tickers]

    fold = page.get_by_role("button", name="negative-news-on-ticker", expanded=True)
    await fold.focus()
    await system.publish(0, bad_news(1, "NEW"))
    await expect(rows).to_have_count(251)
    await expect(page.locator("tr.group")).to_contain_text("251 warning")
    await expect(fold).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(0)
    await page.keyboard.press("Enter")
    await expect(rows).to_have_count(251)


async def test_an_alert_is_handled_by_keys_and_stays_in_the_history(
    system: System, page: Page
) -> None:
    for number, ticker in enumerate(("AAA", "BBB", "CCC")):
        await system.raise_alert(scored(id=f"n-{number}", text="negative"), ticker=ticker)
    await page.goto(f"{system.address}/alerts")
    rows, selected = page.locator("tr[data-id]"), page.locator("tr.selected .c-subject")
    await expect(rows).to_have_count(3)
    for key in "jjjk":
        await page.keyboard.press(key)
    second = await rows.nth(1).locator(".c-subject").inner_text()
    await expect(selected).to_have_text(second)
    await page.keyboard.press("s")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Hides 1 of 3 open alerts")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_contain_text("Negative news")
    await page.keyboard.press("m")
    await dialog.get_by_label("To").fill("bob")
    await page.keyboard.press("Enter")
    timeline = page.locator(".timeline")
    await expect(timeline).to_contain_text("assigned to bob")
    await page.keyboard.press("c")
    await dialog.get_by_label("Comment").fill("called the desk")
    await dialog.get_by_role("button", name="Comment").click()
    await expect(timeline).to_contain_text("called the desk")
    await page.keyboard.press("r")
    assert not await accessibility_faults(page)
    await dialog.get_by_role("button", name="Resolve").click()
    await expect(timeline).to_contain_text("resolved")
    similar = page.get_by_role("region", name="Similar alerts").locator("tbody tr")
    await expect(similar).to_have_count(2)
    await page.goto(f"{system.address}/alerts")
    await expect(rows).to_have_count(2)
    await page.get_by_label("Which alerts").select_option("resolved")
    await expect(rows).to_have_count(1)
    await expect(rows.locator(".c-subject")).to_have_text(second)


async def test_a_key_labels_a_ticket_and_the_label_is_on_the_topic(
    system: System, page: Page
) -> None:
    await system.publish(
        2, *({"id": f"t-{n}", "text": f"unsure about number {n}"} for n in range(3))
    )
    await page.goto(f"{system.address}/tickets")
    await expect(page.locator(".queue button")).to_have_count(3)
    await expect(page.locator(".card")).to_contain_text("topic abstained")
    asked = await page.locator(".card .id").inner_text()
    await page.keyboard.press("9")
    await page.keyboard.press("u")
    await expect(page.get_by_text("Taken back")).to_be_visible()
    await page.keyboard.press("9")  # topic: cards
    await page.keyboard.press("3")  # risk: high
    records = await records_of(system, system.settings.topics.feedback, 2)
    said = [(one["event_id"], one["head"], one["label"]) for one in records]
    assert said == [(asked, "topic", "cards"), (asked, "risk", "high")]
    assert {one["source"] for one in records} == {"ticket"}
    await expect(page.get_by_text("went to urgent")).to_be_visible()
    (routed,) = await records_of(system, system.settings.topics.queue("urgent"), 1)
    assert (routed["id"], routed["priority"]) == (asked, "urgent")
    await page.reload()
    await expect(page.locator(".queue button")).to_have_count(2)


async def test_a_label_still_waiting_is_sent_when_the_page_is_left(
    system: System, page: Page
) -> None:
    await system.publish(0, {"id": "n-1", "text": "positive unsure"})
    await page.goto(f"{system.address}/teach?head=long-gone")
    await expect(page.locator(".card")).to_contain_text("What is its sentiment?")
    await expect(page.locator(".card")).to_contain_text("abstained")
    await page.keyboard.press("1")
    await page.goto(f"{system.address}/health")
    (record,) = await records_of(system, system.settings.topics.feedback, 1)
    assert (record["event_id"], record["label"]) == ("n-1", "negative")


async def test_who_taught_the_model_is_told_when_it_changes(system: System, page: Page) -> None:
    await system.publish(0, {"id": "n-1", "text": "positive unsure"})
    await page.goto(f"{system.address}/teach?head=sentiment")
    await expect(page.locator(".card")).to_contain_text("abstained")
    await page.keyboard.press("1")
    await expect(page.get_by_text("1 sent from this page")).to_be_visible()
    other = max(one.version for one in system.registry.versions())
    await system.promote(other, "better on news")
    told = page.get_by_text(f"Model {other} took over")
    await expect(told).to_contain_text("after 1 label from this page: better on news")


async def test_health_shows_the_worker_and_a_dead_receiver_and_replays_a_dead_letter(
    system: System, page: Page
) -> None:
    await system.publish(0, {"id": "n-1"}, {"id": "n-2", "text": 7})
    keys, alerting = Keys(system.settings.redis.prefix), system.settings.alerting
    async with redis_client(system.settings.redis) as redis:
        journal = RedisJournal(redis, keys, alerting)
        await journal.name_receivers(["pager"])
        await journal.note_troubles({"pager": Trouble("answered 503", time.monotonic() - 110)})
    await page.goto(f"{system.address}/health")
    await expect(page.get_by_role("region", name="Workers")).to_contain_text("at work")
    receivers = page.get_by_role("region", name="Receivers", exact=True)
    await expect(receivers).to_contain_text("pagertakes nothing since 2 min: answered 503")
    lag = page.get_by_role("region", name="Lag of the source topics").locator("tbody tr")
    news, social, _ = (source.topic for source in system.settings.sources)
    await expect(lag.nth(0)).to_have_text(f"{news}02")
    await expect(lag.nth(1)).to_have_text(f"{social}00")
    letters = page.get_by_role("region", name="Dead letters").locator("tbody tr")
    await expect(letters).to_have_count(2)
    await page.get_by_role("button", name="no_text 1").click()
    await expect(letters).to_have_count(1)
    await letters.get_by_role("button", name="Replay").click()
    await expect(page.get_by_text("Sent again: 1")).to_be_visible()


async def records_of(system: System, topic: str, count: int) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=system.settings.kafka.bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    found: list[dict[str, Any]] = []
    try:
        while len(found) < count:
            found.append(orjson.loads((await consumer.getone()).value))
    finally:
        await consumer.stop()
    return found


async def test_a_model_is_promoted_and_rolled_back(system: System, page: Page) -> None:
    first, second = sorted(one.version for one in system.registry.versions())
    await page.goto(f"{system.address}/models")
    await page.get_by_role("button", name=f"Promote {second}").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Why").fill("a try")
    await dialog.get_by_role("button", name="Promote").click()
    await expect(page.locator(".figure", has_text="Champion")).to_contain_text(second)
    await expect(page.get_by_text(f"Model {second} is champion since")).to_be_visible()
    await page.get_by_role("button", name="Roll back").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Roll back").click()
    await dialog.get_by_label("Why").fill("no good")
    await dialog.get_by_role("button", name="Roll back").click()
    await expect(page.locator(".figure", has_text="Champion")).to_contain_text(first)
    await expect(page.get_by_role("button", name="Roll back")).to_have_count(0)
    moves = [(move.version, move.why) for move in system.registry.history(CHAMPION)]
    assert moves[1:] == [(second, "a try"), (first, "no good")]


async def test_a_version_shows_its_calibration_and_how_it_was_fitted(
    system: System, page: Page, tmp_path: Path
) -> None:
    _, other = sorted(one.version for one in system.registry.versions())
    checkpoint, weights = read_verified(shipped())
    plain = msgspec.structs.replace(checkpoint, name="plain", training={}, metrics={})
    put_in(system.registry, tmp_path / "plain", plain, weights)
    await page.goto(f"{system.address}/models")
    details = page.locator("details", has=page.get_by_role("heading", name=f"Figures of {other}"))
    await details.locator("summary").first.click()
    judged = details.get_by_role("row", name="topic of ticket, recent 34")
    await expect(judged).to_contain_text("+80.00 to +100.00")
    chart = details.get_by_role("img", name=re.compile("^sentiment: confidence and accuracy on 4"))
    await expect(chart.locator("circle")).to_have_count(3)
    losses = details.get_by_role("img", name=re.compile("^Loss by epoch"))
    await expect(losses.locator("path")).to_have_count(2)
    await expect(losses).to_contain_text("held out")
    await details.get_by_text("As a table").first.click()
    await expect(details.get_by_role("cell", name="0.965")).to_be_visible()
    bare = page.locator("details", has=page.get_by_role("heading", name="Figures of plain"))
    await expect(bare).to_contain_text("Calibration: not recorded for this version.")
    await expect(bare).to_contain_text("Training curves: not recorded for this version.")
    assert not await accessibility_faults(page)


async def test_closes_are_drawn_beside_the_tone(system: System, page: Page) -> None:
    now = utc_now()
    times = [(now - timedelta(days=back)).isoformat() for back in (6, 3, 0)]
    await system.publish(0, *(bad_news(n, "HALC") | {"time": at} for n, at in enumerate(times)))
    await system.publish(0, bad_news(9, "NONE"))
    await page.goto(f"{system.address}/markets")
    await page.get_by_role("link", name="NONE").click()
    await expect(page.get_by_text("No prices for NONE in ")).to_be_visible()
    await page.goto(f"{system.address}/subjects/ticker/HALC")
    tone = page.get_by_role("img", name="Tone of HALC over time")
    await expect(tone.locator(".alert-at").first).to_be_visible()
    await expect(page.get_by_text("Counted among the latest 4 scored events")).to_be_visible()
    chart = page.get_by_role("img", name=re.compile("^Daily close of HALC"))
    await expect(chart.locator("circle").nth(5)).to_be_visible()
    titles = await chart.locator("title").all_text_contents()
    assert f"{(now - timedelta(days=3)).date()}: 106" in titles


async def test_a_script_in_a_headline_does_not_run(system: System, page: Page) -> None:
    await system.publish(0, bad_news(1, "<BX>", HOSTILE) | {"title": HOSTILE})
    await system.publish(2, {"id": "t-1", "text": f"unsure {HOSTILE}", "title": HOSTILE})
    await system.publish(2, {"id": "t-2", "note": HOSTILE})
    await page.goto(f"{system.address}/alerts")
    shown = page.get_by_text("<svg onload=", exact=False).first
    await expect(shown).to_be_visible()
    await page.locator("tr[data-id] a").first.click()
    await expect(page.locator(".evidence")).to_contain_text("<svg onload=")
    await page.keyboard.press("c")
    await page.get_by_role("dialog").get_by_label("Comment").fill(HOSTILE)
    await page.get_by_role("dialog").get_by_role("button", name="Comment").click()
    await expect(page.locator(".timeline")).to_contain_text("<svg onload=")
    await page.goto(f"{system.address}/health")
    await expect(page.get_by_text("Counted among the latest 2 scored events")).to_be_visible()
    letters = page.get_by_role("region", name="Dead letters")
    await expect(letters).to_contain_text("<svg onload=")
    for path in ("/tickets", "/teach?head=sentiment"):
        await page.goto(f"{system.address}{path}")
        await expect(page.locator(".card")).to_contain_text("<svg onload=")
    await page.goto(f"{system.address}/subjects/ticker/%3CBX%3E")
    await expect(page.locator("main")).to_contain_text("<svg onload=")
    assert await page.evaluate("window.ran") is None
    assert await page.locator("main svg[onload], main [ontoggle], main bx").count() == 0


@pytest.mark.parametrize("width", [1280, 1600])
async def test_a_time_of_another_year_stays_in_its_column(
    system: System, page: Page, width: int
) -> None:
    long_ago = (utc_now() - timedelta(days=400)).replace(month=10, day=27).isoformat()
    await system.publish(0, bad_news(1, "HALC") | {"time": long_ago})
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(f"{system.address}/alerts")
    cell = page.locator("td.c-last").first
    await expect(cell).to_contain_text("Oct 27")
    assert await cell.evaluate("(cell) => cell.scrollWidth - cell.clientWidth") <= 0


async def test_pages_fit_both_widths_and_have_no_accessibility_faults(
    system: System, page: Page
) -> None:
    await system.publish(0, *(bad_news(n, "A" * 12) for n in range(3)))
    await system.publish(2, {"id": "t-1", "text": "unsure " + "w" * 200})
    await page.goto(f"{system.address}/alerts")
    first = await page.locator("tr[data-id] a").first.get_attribute("href")
    about = await page.locator("a.subject").first.get_attribute("href")
    assert first
    assert about
    faults = []
    for path in (*PAGES, first, about):
        await page.goto(system.address + path)
        await expect(page.locator('main:not([aria-busy="true"])')).to_be_visible()
        if path == first:
            await page.get_by_role("button", name="Try others").click()
            tried = page.get_by_role("region", name="Other thresholds of sentiment.confidence")
            await expect(tried.get_by_text("0.9 (now)")).to_be_visible()
        for width in (1280, 390):
            await page.set_viewport_size({"width": width, "height": 800})
            over = await page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if over > 0:
                faults.append(f"{path} at {width}: {over} px too wide")
            found = await accessibility_faults(page)
            faults += [f"{path} at {width}: {fault}" for fault in found]
    assert not faults, "\n".join(faults)


async def accessibility_faults(page: Page) -> list[str]:
    """All that axe-core finds, in both themes."""
    faults = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        faults += [
            f"{scheme}: {one['id']} {[node['html'] for node in one['nodes'][:3]]}"
            for one in (await Axe().run(page)).response["violations"]
        ]
    return faults


async def test_the_loss_of_redis_or_of_updates_is_said_and_over_when_they_are_back(
    system: System, page: Page, redis_server: RedisServer
) -> None:
    await page.route("**/live", lambda route: route.abort())
    await page.goto(f"{system.address}/alerts")
    await expect(page.get_by_text("No connection to the console")).to_be_visible()
    await expect(page.get_by_text("No alert is open")).to_be_visible()
    await page.unroute("**/live")
    full = {"status": 503, "json": {"error": "too many pages are open"}}
    await page.route("**/live", lambda route: route.fulfill(**full))
    await expect(page.get_by_text("No live updates: too many pages are open")).to_be_visible()
    await page.unroute("**/live")
    await expect(page.locator("#banners")).to_be_empty()
    await expect(page.locator("#link")).to_have_text("live")
    redis_server.stop()
    try:
        await expect(page.get_by_text("Redis is away")).to_be_visible()
        await expect(page.locator("#link")).to_have_text("out of date")
        await page.reload()
        await expect(page.get_by_text("This can't be shown now")).to_be_visible()
        await page.get_by_role("button", name="Dismiss").click()
    finally:
        redis_server.start()
    await expect(page.get_by_text("Redis is away")).to_be_hidden()
    await expect(page.get_by_text("No alert is open")).to_be_visible()


async def test_without_kafka_alerts_go_on_and_every_page_says_what_is_missing(
    system: System, page: Page
) -> None:
    nowhere = system.settings.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    await system.raise_alert(scored(id="n-1", text="negative"))
    async with serving(system.settings.model_copy(update={"kafka": nowhere})) as address:
        await page.goto(f"{address}/alerts")
        await expect(page.locator("tr[data-id]")).to_have_count(1)
        for path in ("/alerts", "/tickets", "/health"):
            await page.goto(address + path)
            await expect(page.locator("#banners")).to_contain_text("Kafka is away: tickets, labels")


async def test_times_are_in_the_readers_zone(system: System, page: Page) -> None:
    noon = utc_now().replace(month=1, day=15, hour=12, minute=0, second=0, microsecond=0)
    identity = await system.raise_alert(scored(id="n-1", text="negative", time=noon))
    assert page.context.browser
    for zone, shown in (("Asia/Tokyo", "21:00:00"), ("America/New_York", "07:00:00")):
        elsewhere = await page.context.browser.new_page(timezone_id=zone)
        await elsewhere.goto(f"{system.address}/alerts/{identity}")
        await expect(elsewhere.locator(".evidence")).to_contain_text(shown)


async def test_a_page_that_outlived_its_session_still_acts(system: System, page: Page) -> None:
    await system.raise_alert(scored(id="n-1", text="negative"))
    await page.goto(f"{system.address}/alerts")
    line = page.locator("tr[data-id]").first
    await expect(line).to_be_visible()
    await page.context.clear_cookies()
    await page.keyboard.press("j")
    await page.keyboard.press("a")
    await expect(line.locator(".c-state")).to_contain_text("acknowledged by")


async def test_the_end_of_a_session_leads_to_the_login_and_back(
    system: System, page: Page, tmp_path: Path
) -> None:
    users = tmp_path / "users.json"
    add_user(users, User("ann", "viewer", hash_password("correct horse battery")))
    (port,) = free_ports(1)
    console = Console(listen=f"127.0.0.1:{port}", users=users)
    settings = system.settings.model_copy(update={"console": console})
    async with serving(settings) as address:
        await page.goto(f"{address}/alerts?group=subject")
        assert not await accessibility_faults(page)
        await page.get_by_label("Name").fill("ann")
        await page.get_by_label("Password").fill("correct horse battery")
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#link")).to_have_text("live")
    await expect(page.get_by_text("No connection to the console")).to_be_visible()
    add_user(users, User("ann", "viewer", hash_password("a new password")))
    async with serving(settings):
        await page.wait_for_url("**/login?next=*")
        await page.get_by_label("Name").fill("ann")
        await page.get_by_label("Password").fill("a new password")
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_url("**/alerts?group=subject")
        assert not await accessibility_faults(page)


async def test_the_reader_chooses_the_theme_and_it_is_kept(system: System, page: Page) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto(f"{system.address}/health")
    await page.get_by_role("button", name="Dark theme").click()
    await page.reload()
    theme = "getComputedStyle(document.documentElement).colorScheme"
    assert await page.evaluate(theme) == "dark"
