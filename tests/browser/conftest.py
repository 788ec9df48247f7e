"""A whole small system in this process, and a Chromium that looks at it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from models.description import CONFIG, WEIGHTS, Checkpoint, read_verified, sealed, shipped
from models.registry import CHAMPION, Registry
from models.stub import StubPredictor
from stream.alerts.lifecycle import Lifecycle
from stream.alerts.store import AlertStore
from stream.commands.console import serving
from stream.config.connections import Console
from stream.config.settings import Settings, load_settings
from stream.connections.clients import redis_client
from stream.connections.outbox import Outgoing, open_outbox
from stream.names import Keys
from stream.records import Scored, Severity, utc_now
from stream.rules.rule_set import Match, Rule
from stream.serving.champions import announcement, promote
from stream.worker.app import Worker
from trainer.evaluate import reliability

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class System:
    """A worker and a console on real Kafka and Redis; address is where the console listens."""

    settings: Settings
    address: str
    registry: Registry

    async def publish(self, place: int, *events: dict[str, Any]) -> None:
        """Events for the source at that place: 0 news, 1 social, 2 tickets."""
        topic = self.settings.sources[place].topic
        async with open_outbox(self.settings.kafka) as outbox:
            await outbox.send([Outgoing(topic, None, orjson.dumps(event)) for event in events])

    @asynccontextmanager
    async def lifecycle(self) -> AsyncIterator[Lifecycle]:
        """For changes that somebody else makes."""
        redis = redis_client(self.settings.redis)
        async with redis:
            keys = Keys(self.settings.redis.prefix)
            yield Lifecycle(redis, keys, self.settings.alerting)

    async def promote(self, version: str, why: str) -> None:
        """Make it champion, as the trainer does."""
        alias = promote(self.registry, version, by="trainer", why=why, now=utc_now())
        async with open_outbox(self.settings.kafka) as outbox:
            await outbox.send([announcement(self.settings.topics, alias)])

    async def raise_alert(
        self, *events: Scored, ticker: str = "HALC", severity: Severity = "warning"
    ) -> str:
        """An alert of the rule negative-news-on-ticker, as a worker would; gives its id."""
        rule = Rule(
            name="negative-news-on-ticker",
            when="true",
            subject="ticker",
            severity=severity,
            title="Negative news on {subject}",
        )
        redis = redis_client(self.settings.redis)
        async with redis:
            store = AlertStore(redis, Keys(self.settings.redis.prefix), self.settings.alerting)
            match = Match(rule, f"ticker:{ticker}", f"Negative news on {ticker}", events[0].text)
            raised = await store.raise_alerts([(event, match) for event in events])
        alert = raised.transitions[0]
        assert alert
        return alert.id


@pytest_asyncio.fixture(loop_scope="session")
async def system(kafka: str, redis_url: str, tmp_path: Path) -> AsyncIterator[System]:
    name = f"console-{uuid.uuid4().hex[:8]}"
    base = load_settings(None)
    settings = base.model_copy(
        update={
            "kafka": base.kafka.model_copy(
                update={"bootstrap": kafka, "prefix": f"{name}.", "group": name, "partitions": 1}
            ),
            "redis": base.redis.model_copy(update={"url": redis_url}),
            "sources": tuple(
                source.model_copy(update={"topic": f"{name}-{source.topic}"})
                for source in base.sources
            ),
            "model": base.model.model_copy(update={"registry": str(tmp_path / "registry")}),
            "trainer": base.trainer.model_copy(update={"folder": tmp_path / "trainer"}),
            "console": Console(listen="127.0.0.1:0", prices=closes(tmp_path / "prices.csv")),
        }
    )
    registry = Registry(str(tmp_path / "registry"))
    fill(registry, tmp_path / "other")
    worker = Worker(settings, StubPredictor())
    async with AsyncExitStack() as stack:
        await worker.start()
        stack.push_async_callback(worker.stop)
        address = await stack.enter_async_context(serving(settings))
        yield System(settings, address, registry)


def closes(file: Path) -> Path:
    """Prices of HALC for the last ten days, today included."""
    days = [utc_now().date() - timedelta(days=back) for back in reversed(range(10))]
    lines = [f"HALC,{day},{100 + at}" for at, day in enumerate(days)]
    file.write_text("\n".join(["ticker,date,close", *lines]), encoding="utf-8")
    return file


def fill(registry: Registry, folder: Path) -> None:
    """Two versions, the shipped one champion; the other one says how it was fitted and judged."""
    first = registry.add(shipped())
    checkpoint, weights = read_verified(shipped())
    accuracy = {"sentiment": 0.7, "topic": 0.6}
    epochs = [
        {"number": number, "train_loss": 1 / number, "val_loss": 1.2 / number, "accuracy": accuracy}
        for number in (1, 2, 3)
    ]
    sure = reliability([0.97, 0.96, 0.7, 0.4], [True, True, False, True])
    change = {"name": "topic of ticket, recent", "n": 34, "champion": 0.1, "challenger": 0.95}
    verdict = {"reasons": ["better"], "changes": [change | {"low": 0.8, "high": 1.007}]}
    changed = msgspec.structs.replace(
        checkpoint,
        name="other",
        training={"parent": first.version, "epochs": epochs},
        metrics={"reliability": {"sentiment": sure}, "verdict": verdict},
    )
    put_in(registry, folder, changed, weights)
    registry.point(CHAMPION, first.version, by="test", why="the first", now=utc_now())


def put_in(registry: Registry, folder: Path, checkpoint: Checkpoint, weights: bytes) -> None:
    folder.mkdir()
    (folder / WEIGHTS).write_bytes(weights)
    (folder / CONFIG).write_bytes(msgspec.json.encode(sealed(checkpoint, weights)))
    registry.add(folder)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("needs Chromium: install it (Debian: chromium)")
    async with async_playwright() as playwright:
        # The sandbox needs rights that containers seldom have; the pages are our own.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that fails its test when a script on it fails; nobody else's cookies are there."""
    faults: list[str] = []
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    for context in browser.contexts:
        await context.close()
    assert not faults
