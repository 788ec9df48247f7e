"""The alerts page in Chromium under many updates: time to paint one, frames, and its memory.

Not part of `python -m bench`: it needs redis-server, Chromium, the development packages, minutes.
`python -m bench.painting [--alerts 1000] [--rate 200] [--minutes 10]`
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from bench.first_page import BROWSERS, fill, settings_for
from bench.machine import describe, memory_mib, quantiles
from bench.viewers import Console, update
from stream.alerts.store import AlertStore
from stream.connections.clients import redis_client
from stream.demo.embedded import EmbeddedRedis
from stream.names import Keys

SAMPLE_S = 60.0
SETTLE_S = 5.0
WATCH = """() => {
  window.ages = []; window.frames = [];
  new MutationObserver((changes) => {
    const times = changes.filter(({ target }) => target.closest(".c-last"))
      .map(({ target }) => Date.parse(target.dateTime));
    requestAnimationFrame(() => setTimeout(() => {
      const painted = Date.now();
      for (const written of times) window.ages.push(painted - written);
    }));
  }).observe(document.querySelector(".alerts"), { subtree: true, attributeFilter: ["datetime"] });
  let before = performance.now();
  const frame = (now) => {
    window.frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
"""An event's time is when it was written; it is painted with the frame after its row changed."""
TAKE = """() => {
  const taken = [window.ages, window.frames];
  window.ages = []; window.frames = [];
  return taken;
}"""


async def measure(redis_url: str, *, alerts: int, rate: int, minutes: float, path: str) -> None:
    settings = settings_for(redis_url)
    await fill(settings, alerts)
    redis = redis_client(settings.redis)
    store = AlertStore(redis, Keys(settings.redis.prefix), settings.alerting)
    console = Console(redis_url)
    ages: list[float] = []
    frames: list[float] = []
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": 1280, "height": 860})
            await page.goto(f"{console.address}/alerts")
            shown = "(count) => document.querySelectorAll('tr[data-id]').length === count"
            await page.wait_for_function(shown, arg=alerts)
            await asyncio.sleep(SETTLE_S)
            print(f"at the start     {await memory_of(browser, page)}")
            await page.evaluate(WATCH)
            loop = asyncio.get_running_loop()
            begun = time.monotonic()
            sending = asyncio.create_task(update(store, alerts, rate, loop.time() + minutes * 60))
            while not sending.done():
                await asyncio.wait({sending}, timeout=SAMPLE_S)
                for found, more in zip((ages, frames), await page.evaluate(TAKE), strict=True):
                    found.extend(more)
                after = time.monotonic() - begun
                print(f"after {after:6.0f} s   {await memory_of(browser, page)}", flush=True)
            sent = sending.result()
            await browser.close()
    finally:
        console.end()
        await redis.aclose()
    took = time.monotonic() - begun
    print(f"\n{alerts} open alerts, {sent / took:.0f} updates a second, {took:.0f} s")
    print(f"  painted               {len(ages) / sent:.4f} of the updates; the rest were overtaken")
    print(f"  from update to paint  {quantiles(ages, 'ms')}")
    print(f"  between two frames    {quantiles(frames, 'ms')}")


async def memory_of(browser: Browser, page: Page) -> str:
    """The page's heap after a collection, its DOM, and what its process holds."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.collectGarbage")
    await session.send("Performance.enable")
    answer: Any = await session.send("Performance.getMetrics")
    await session.detach()
    metrics = {one["name"]: one["value"] for one in answer["metrics"]}
    whole = await browser.new_browser_cdp_session()
    processes: Any = await whole.send("SystemInfo.getProcessInfo")
    await whole.detach()
    largest = max(
        memory_mib(one["id"]) for one in processes["processInfo"] if one["type"] == "renderer"
    )
    return (
        f"heap {metrics['JSHeapUsedSize'] / 1e6:.1f} MB, {metrics['Nodes']:.0f} nodes, "
        f"{metrics['JSEventListeners']:.0f} listeners; process {largest:.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.painting", description=__doc__)
    parser.add_argument("--alerts", type=int, default=1_000)
    parser.add_argument("--rate", type=int, default=200, help="updates a second")
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None or shutil.which("redis-server") is None or not Path("/proc/self").exists():
        parser.error("needs Chromium and redis-server on the PATH, and Linux' /proc")
    print(describe())
    with EmbeddedRedis() as redis:
        asyncio.run(
            measure(
                redis.url,
                alerts=options.alerts,
                rate=options.rate,
                minutes=options.minutes,
                path=path,
            )
        )


if __name__ == "__main__":
    main()
