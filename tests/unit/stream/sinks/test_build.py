"""Receivers of a routing file become sinks; secrets come from elsewhere and are never shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer
from apprise import Apprise
from apprise.plugins.discord import NotifyDiscord
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from stream.config.settings import Settings
from stream.connections.outbox import Outgoing
from stream.notify.notification import RefusedError, TryAgainError
from stream.notify.route_file import RouteError
from stream.notify.routing import Routing
from stream.sinks.apprise_service import AppriseSink
from stream.sinks.build import build_sinks, check_receivers
from stream.sinks.redis_stream import RedisSink
from stream.sinks.topic import TopicSink
from tests.fakes import alert, notification

EXAMPLE = Path(__file__).parents[4] / "examples" / "routes.toml"


class FakeOutbox:
    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.gate = asyncio.Event()

    async def send(self, records: Sequence[Outgoing]) -> None:
        await self.gate.wait()
        self.sent.extend(records)


def routing(folder: Path, receiver: str) -> Routing:
    file = folder / "routes.toml"
    file.write_text(f'[route]\nreceiver = "r"\n[[receivers]]\nname = "r"\n{receiver}\n')
    return Routing.load(file)


async def test_the_example_file_is_valid_and_makes_a_sink_of_each_receiver() -> None:
    found = Routing.load(EXAMPLE)
    check_receivers(found, Settings())
    sinks = build_sinks(found, Settings(), redis=FakeAsyncRedis(), outbox=FakeOutbox())
    assert sinks.keys() == {"desk", "support", "pager"}
    labels = {"severity": "critical", "subject_kind": "customer"}
    assert [node.receiver for node in found.routes_of(labels)] == ["pager", "support"]


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ('type = "topic"', "topic must be a Kafka topic name"),
        ('type = "topic"\ntopic = "a b"', "topic must be a Kafka topic name"),
        ('type = "topic"\ntopic = "a"\nstream = "s"', "stream means nothing for type topic"),
        (
            'type = "topic"\ntopic = "bellwether.alerts"',
            "alerts is a source or holds",
        ),
        ('type = "topic"\ntopic = "news"', "topic news is a source or holds"),
        ('type = "redis"', "stream is missing"),
        (
            'type = "redis"\nstream = "bw:alerts:stream"',
            "begins with bw:notifications",
        ),
        ('type = "webhook"', "url is missing"),
        ('type = "webhook"\nurl = "gopher://x"', "url must be an http"),
        ('type = "webhook"\nurl = "http://10.0.0.1/"', "internal address"),
        ('type = "webhook"\nurl = "http://a.example"\nurl_env = "X"', "give one of url"),
        ('type = "webhook"\nurl_env = "NOT_SET_ANYWHERE"', "the environment has no NOT_SET"),
        ('type = "webhook"\nurl_file = "/absent"', "can't be read"),
        ('type = "webhook"\nurl = "http://a.example"\nsecret_env = "NOT_SET"', "has no NOT_SET"),
        ('type = "webhook"\npayload = "pagerduty"', "routing key in secret_env"),
        ('type = "webhook"\nurl = "http://a.example"\ntimeout = "fast"', "timeout 'fast': write"),
        ('type = "apprise"', "url is missing"),
        ('type = "apprise"\nurl = "mailto://a:b@c.example"', "url means nothing for type apprise"),
    ],
)
def test_a_receiver_that_could_never_be_told_is_refused(
    tmp_path: Path, receiver: str, said: str
) -> None:
    with pytest.raises(RouteError, match=f"receiver 'r': .*{said}"):
        check_receivers(routing(tmp_path, receiver), Settings())


def test_all_receivers_that_could_never_be_told_are_named(tmp_path: Path) -> None:
    text = 'type = "topic"\n[[receivers]]\nname = "s"\ntype = "redis"\nmax_length = 0\n'
    with pytest.raises(RouteError) as caught:
        check_receivers(routing(tmp_path, text), Settings())
    first, second = caught.value.faults
    assert first.startswith("routing file, receiver 'r': ")
    assert second.startswith("routing file, receiver 's': ")


def test_neither_an_error_nor_the_log_quotes_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for value in ("gopher://key-1234@x/", "http://user:key-1234@x.example/"):
        monkeypatch.setenv("HOOK", value)
        with pytest.raises(RouteError) as caught:
            check_receivers(routing(tmp_path, 'type = "webhook"\nurl_env = "HOOK"'), Settings())
        assert "key-1234" not in str(caught.value)
    monkeypatch.setenv("HOOK", "nosuchservice://key-1234")
    with pytest.raises(RouteError, match="apprise understands") as caught:
        check_receivers(routing(tmp_path, 'type = "apprise"\nurl_env = "HOOK"'), Settings())
    assert "key-1234" not in str(caught.value) + caplog.text


def test_secrets_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("key-1234\n")
    found = routing(
        tmp_path, f'type = "webhook"\npayload = "pagerduty"\nsecret_file = "{tmp_path}/key"'
    )
    check_receivers(found, Settings())
    (tmp_path / "key").write_text("\n")
    with pytest.raises(RouteError, match="is empty"):
        check_receivers(found, Settings())


async def test_a_redis_stream_takes_each_notification_once(client: Redis) -> None:
    sink = RedisSink(client, "out", 100)
    for identity in ("n-1", "n-1", "n-2"):
        await sink.send(notification(identity))
    entries = await client.xrange("out")
    found = [json.loads(fields[b"notification"])["id"] for _, fields in entries]
    assert found == ["n-1", "n-2"]


async def test_a_topic_takes_a_notification_or_is_tried_again() -> None:
    outbox = FakeOutbox()
    sink = TopicSink(outbox, "pages", timeout_s=0.05)
    with pytest.raises(TryAgainError, match="did not confirm"):
        await sink.send(notification("n-1"))
    outbox.gate.set()
    await sink.send(notification("n-1"))
    (record,) = outbox.sent
    assert (record.topic, record.key) == ("pages", b"g-1")
    assert json.loads(record.value)["id"] == "n-1"


@pytest.mark.parametrize(
    "url",
    [
        "json://127.0.0.1:1/",
        "json://[::1]:1/",
        "mailto://me:word@mail.invalid?smtp=127.0.0.1&to=a@b.example",
    ],
)
async def test_apprise_is_kept_from_internal_addresses(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def reached(*_: object, **__: object) -> bool:
        pytest.fail("it was let through")

    monkeypatch.setattr(Apprise, "async_notify", reached)
    sink = AppriseSink(url, allow_internal=False, timeout_s=5)
    with pytest.raises(RefusedError, match="internal address"):
        await sink.send(notification())


async def test_a_token_that_can_be_no_host_is_left_to_apprise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    async def notify(services: Apprise, **_: object) -> bool:
        told.extend(type(service).__name__ for service in services)
        return True

    monkeypatch.setattr(Apprise, "async_notify", notify)
    sink = AppriseSink(f"line://{'t' * 100}/U1234", allow_internal=False, timeout_s=5)
    await sink.send(notification())
    assert told == ["NotifyLine"]


@pytest.mark.parametrize(
    ("allow_internal", "followed"), [(False, []), (True, ["/inside/"])], ids=["checked", "anywhere"]
)
async def test_apprise_follows_no_redirect_to_where_nobody_looked(
    monkeypatch: pytest.MonkeyPatch, allow_internal: bool, followed: list[str]
) -> None:
    reached: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        if request.path != "/inside/":
            raise web.HTTPTemporaryRedirect("/inside/")
        reached.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    monkeypatch.setattr("stream.sinks.apprise_service._check", lambda _hosts: None)
    async with TestServer(app) as server:
        url = f"json://127.0.0.1:{server.port}/hook?redirect=yes"
        sink = AppriseSink(url, allow_internal=allow_internal, timeout_s=10)
        with suppress(TryAgainError):
            await sink.send(notification())
    assert reached == followed


@pytest.mark.parametrize("wish", ["", "?overflow=split"])
async def test_what_is_longer_than_a_message_of_the_service_is_cut_or_parted_as_wished(
    wish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    posted: list[str] = []

    def post(*_: object, data: str, **__: object) -> requests.Response:
        posted.append(json.loads(data)["content"])
        answer = requests.Response()
        answer.status_code = 204
        return answer

    monkeypatch.setattr(requests, "post", post)
    monkeypatch.setattr(NotifyDiscord, "request_rate_per_sec", 0)
    sink = AppriseSink(f"discord://{'1' * 18}/{'t' * 68}{wish}", allow_internal=True, timeout_s=5)
    alerts = (alert(title="t" * 280, summary="s" * 280),) * 10
    await sink.send(notification(firing=10, alerts=alerts))
    assert max(map(len, posted)) <= NotifyDiscord.body_maxlen
    assert (len(posted) > 1) == bool(wish)


async def test_a_service_that_does_not_take_it_is_tried_again() -> None:
    sink = AppriseSink("json://127.0.0.1:1/", allow_internal=True, timeout_s=10)
    with pytest.raises(TryAgainError, match="did not take it"):
        await sink.send(notification())
