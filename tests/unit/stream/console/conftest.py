"""A console over the imitated and the real Redis, with what Kafka would bring put in by hand."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiokafka.errors import KafkaConnectionError
from redis.asyncio import Redis

from models.spec import DEFAULT_HEADS, ModelError
from stream.alerts.lifecycle import Lifecycle
from stream.alerts.silence_store import SilenceStore
from stream.alerts.store import AlertStore
from stream.config.connections import Console
from stream.config.settings import Settings
from stream.connections.outbox import Outgoing
from stream.console.explanations import Explanations
from stream.console.live import Hub
from stream.console.recent import Recent
from stream.console.server import application, signals_of
from stream.console.services import Moved, Sender, Services
from stream.console.users import Role, User, add_user, hash_password, token_hash
from stream.names import Keys
from stream.records import Alert
from stream.rules.rule_set import Match, Rule
from tests.fakes import scored
from tests.until import until

DEADLINE_S = 20.0
PASSWORD = "correct horse battery"


class RememberingSender:
    """stream.console.services.Sender that keeps what it is given, or finds Kafka away."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.away = False

    async def send(self, records: Sequence[Outgoing]) -> None:
        if self.away:
            raise KafkaConnectionError("no broker")
        self.sent.extend(records)


class KnownLabels:
    def __init__(self) -> None:
        self.found: list[dict[str, str]] = []

    def suspects(self) -> list[dict[str, str]]:
        return self.found

    def attempts(self) -> list[dict[str, Any]]:
        return [{"time": "2026-03-12T12:00:00Z", "labels": 3, "verdict": "promoted: better"}]

    def drift(self) -> list[Moved]:
        return [Moved("m-1", "topic", "ticket", 0, 0.31, 0.02), Moved("m-1", "risk", "news", 1_700)]

    def written(self) -> datetime | None:
        return None


def no_model(_: Alert) -> Any:
    raise ModelError("model m-1 is not in model.registry; set model.path to where it is")


class Caller:
    """A logged-in page: calls of the API with its CSRF token."""

    def __init__(self, client: TestClient[Any, Any], csrf: str) -> None:
        self.client = client
        self.csrf = csrf

    async def get(self, path: str) -> Any:
        return await self._answer(await self.client.get(f"/api/v1{path}"))

    async def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.client.post(
            f"/api/v1{path}", json=body or {}, headers={"X-CSRF-Token": self.csrf}
        )
        return await self._answer(answer, status)

    @staticmethod
    async def _answer(answer: ClientResponse, status: int = 200) -> Any:
        text = await answer.text()
        assert answer.status == status, text
        return msgspec.json.decode(text)


@pytest.fixture
async def services(client: Redis) -> AsyncIterator[Services]:
    made = services_over(client, Settings())
    made.hub.start()
    await followed(made.hub)
    yield made
    await made.hub.stop()


async def followed(hub: Hub) -> None:
    """Return when the hub reads the stream."""
    await until(lambda: not hub.faults["redis"])


def services_over(client: Redis, settings: Settings, **changes: Any) -> Services:
    keys = Keys()
    recent = Recent(settings, lambda _: None)
    recent.fault = ""
    recent.caught_up = True
    parts: dict[str, Any] = {
        "settings": settings,
        "redis": client,
        "keys": keys,
        "alerts": AlertStore(client, keys, settings.alerting),
        "lifecycle": Lifecycle(client, keys, settings.alerting),
        "silences": SilenceStore(client, keys),
        "signals": signals_of(settings, client, keys),
        "sender": cast("Sender", RememberingSender()),
        "recent": recent,
        "hub": Hub(client, keys, lambda: recent.fault),
        "registry": None,
        "heads": lambda: DEFAULT_HEADS,
        "labels": KnownLabels(),
        "explanations": Explanations(no_model),
    }
    return Services(**(parts | changes))


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[Services], Awaitable[TestClient[Any, Any]]]]:
    async with AsyncExitStack() as stack:

        async def connected(services: Services) -> TestClient[Any, Any]:
            server = TestServer(application(services))
            return await stack.enter_async_context(TestClient(server))

        yield connected


@pytest.fixture
async def page(
    services: Services, connect: Callable[[Services], Awaitable[TestClient[Any, Any]]]
) -> Caller:
    """A page of a console that is open to this machine alone."""
    return await opened(await connect(services))


async def opened(client: TestClient[Any, Any]) -> Caller:
    text = await (await client.get("/alerts")).text()
    found = re.search(r'name="csrf" content="([^"]*)"', text)
    assert found, text
    return Caller(client, found[1])


@cache
def hashed() -> str:
    """PASSWORD at a price that every test can pay: what a hash costs is written in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream.console.users.SCRYPT_N", 2**4)
        return hash_password(PASSWORD)


def with_users(services: Services, folder: Path) -> Services:
    """The same console asking for a login: ann is operator, vic viewer, lea labeller."""
    file = folder / "users.json"
    people: tuple[tuple[str, Role], ...] = (
        ("ann", "operator"),
        ("vic", "viewer"),
        ("lea", "labeller"),
    )
    for name, role in people:
        add_user(file, User(name, role, hashed(), token_hash(f"token of {name}")))
    settings = services.settings.model_copy(
        update={"console": Console(listen="127.0.0.1:0", users=file)}
    )
    return Services(**{**vars(services), "settings": settings})


async def log_in(
    client: TestClient[Any, Any], name: str, password: str = PASSWORD, **more: str
) -> ClientResponse:
    text = await (await client.get("/login")).text()
    token = re.search(r'name="token" value="([^"]*)"', text)
    assert token
    form = {"name": name, "password": password, "token": token[1], **more}
    return await client.post("/login", data=form, allow_redirects=False)


async def fire(
    services: Services,
    *,
    subject: str = "ticker:HALC",
    rule: str = "bad-news",
    after_s: float = 0,
    title: str = "Bad news on HALC",
    text: str = "Halcyon lost its largest customer.",
) -> Alert:
    made = Rule(name=rule, when="true", subject="ticker", severity="warning", title="t")
    event = scored(id=f"{rule} {subject} {after_s}", after_s=after_s, text=text)
    (alert,) = (
        await services.alerts.raise_alerts([(event, Match(made, subject, title, text))])
    ).transitions
    return alert


def put(services: Services, topic: str, *records: Any, at_ms: int = 0) -> None:
    """As if Kafka had brought the records."""
    from stream.console.recent import Seen  # noqa: PLC0415

    for record in records:
        key = getattr(record, "key", None)
        services.recent._topics[topic].add(key, Seen(at_ms, record))
