"""How long a person waits for the alerts page: a new console and a new Chromium each turn.

Not part of `python -m bench`: it needs redis-server, Chromium and the development packages.
`python -m bench.first_page [--alerts 1000] [--rounds 7]`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import sync_playwright

from bench.machine import describe
from models.spec import HeadScore
from stream.alerts.store import AlertStore
from stream.config.settings import Settings, load_settings
from stream.connections.clients import redis_client
from stream.demo.embedded import EmbeddedRedis
from stream.names import Keys
from stream.records import BatchInfo, Origin, Scored, Severity, Subject, utc_now
from stream.rules.rule_set import Match, Rule

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_S = 60.0
SCREEN_MS = """(count) => new Promise((done) => {
  const look = () => document.querySelectorAll("tr[data-id]").length >= count
    ? requestAnimationFrame(() => setTimeout(() => done(performance.now())))
    : requestAnimationFrame(look);
  look();
})"""
"""Milliseconds from the start of the navigation to the frame after which the rows are painted."""
SCREEN_ROWS = 20
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "warning", "info")


def settings_for(redis_url: str) -> Settings:
    base = load_settings(None)
    return base.model_copy(update={"redis": base.redis.model_copy(update={"url": redis_url})})


async def fill(settings: Settings, count: int) -> None:
    """Open alerts, each of a subject of its own, under four rules."""
    redis = redis_client(settings.redis)
    store = AlertStore(redis, Keys(settings.redis.prefix), settings.alerting)
    # So late that none has been quiet for so long that its next event would be a new alert.
    begin = utc_now() - timedelta(seconds=0.75 * settings.alerting.quiet_s)
    apart = timedelta(seconds=0.7 * settings.alerting.quiet_s) / count
    await store.raise_alerts(
        [filled(number, f"e-{number}", begin + number * apart) for number in range(count)]
    )
    await redis.aclose()


def filled(number: int, event: str, at: datetime) -> tuple[Scored, Match]:
    """An event that raises alert `number`, or makes it grow."""
    rule = Rule(
        name=f"rule-{number % 4}",
        when="true",
        subject="ticker",
        severity=SEVERITIES[number % 4],
        title="t",
    )
    subject = f"T{number}"
    text = f"{subject} lost its largest customer and now expects a loss for the year."
    scored = Scored(
        id=event,
        source="news",
        origin=Origin("news", 0, number),
        time=at,
        received_at=at,
        scored_at=at,
        title="",
        text=text,
        author="",
        customer="",
        lang="en",
        subjects=(Subject("ticker", subject),),
        heads={
            "sentiment": HeadScore(
                "negative", 0.9, {"negative": 0.9, "positive": 0.1}, abstained=False
            )
        },
        unreadable="",
        model="m-1",
        batch=BatchInfo(1, 8, 0.1, "idle"),
        attributes={},
    )
    return scored, Match(rule, f"ticker:{subject}", f"Bad news on {subject}", text)


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def wait_until_alive(address: str) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            urlopen(f"{address}/alive", timeout=2).close()
        except (URLError, OSError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return


def one_turn(redis_url: str, browser: str, count: int) -> tuple[float, float]:
    """Milliseconds to the first screen and to all rows, console and browser both new."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        "BELLWETHER_REDIS__URL": redis_url,
        "BELLWETHER_CONSOLE__LISTEN": f"127.0.0.1:{port}",
        # Nobody listens there: the page of alerts is Redis' alone.
        "BELLWETHER_KAFKA__BOOTSTRAP": f"127.0.0.1:{free_port()}",
    }
    program = [str(Path(sys.executable).with_name("bellwether")), "console"]
    with running(program, environment), sync_playwright() as playwright:
        wait_until_alive(address)
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{address}/alerts", wait_until="commit")
        first = page.evaluate(SCREEN_MS, min(SCREEN_ROWS, count))
        everything = page.evaluate(SCREEN_MS, count)
        chromium.close()
    return first, everything


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.first_page", description=__doc__)
    parser.add_argument("--alerts", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None or shutil.which("redis-server") is None:
        parser.error("needs chromium and redis-server on the PATH")
    print(describe())
    with EmbeddedRedis() as redis:
        asyncio.run(fill(settings_for(redis.url), options.alerts))
        turns = [one_turn(redis.url, browser, options.alerts) for _ in range(options.rounds)]
    print(f"\nalerts page, {options.alerts} open alerts, {options.rounds} rounds: seconds")
    for name, values in zip(("first screen", "all rows"), zip(*turns, strict=True), strict=True):
        some = sorted(value / 1e3 for value in values)
        print(f"  {name:14} {statistics.median(some):5.2f}   ({some[0]:.2f} to {some[-1]:.2f})")


if __name__ == "__main__":
    main()
