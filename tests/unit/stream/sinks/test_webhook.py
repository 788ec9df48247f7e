"""Webhooks against a local server that answers well, badly, late or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from stream.notify.notification import RefusedError, TryAgainError
from stream.sinks.payloads import bellwether
from stream.sinks.webhook import LONGEST_ASKED_S, WebhookSink
from tests.fakes import notification

SECRET = b"s3cret"


class Server(ThreadingHTTPServer):
    """Answers with (status, headers), or does as the word says; keeps what it was sent."""

    answer: Any = (200, {})
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, dict(self.headers), body))
        if self.server.answer == "close":
            self.connection.close()
            return
        if self.server.answer == "hang":
            self.server.released.wait(20)
            return
        status, headers = self.server.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"thanks")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


async def post(
    url: str, *, allow_internal: bool = True, timeout_s: float = 5.0, secret: bytes = SECRET
) -> None:
    sink = WebhookSink(
        url, body=bellwether, secret=secret, allow_internal=allow_internal, timeout_s=timeout_s
    )
    try:
        await sink.send(notification("n-1"))
    finally:
        await sink.close()


async def test_a_body_is_signed_so_that_the_receiver_can_check_it(server: Server) -> None:
    await post(server.url)
    ((path, headers, body),) = server.requests
    assert path == "/hook"
    assert headers["Bellwether-Notification"] == "n-1"
    timestamp = headers["Bellwether-Timestamp"]
    assert abs(time.time() - int(timestamp)) < 60
    digest = hmac.new(SECRET, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["Bellwether-Signature"] == f"v1={digest}"
    assert json.loads(body)["id"] == "n-1"


async def test_without_a_secret_nothing_is_signed(server: Server) -> None:
    await post(server.url, secret=b"")
    assert "Bellwether-Signature" not in server.requests[0][1]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_what_may_pass_is_worth_another_try(server: Server, status: int) -> None:
    server.answer = (status, {"Retry-After": "7"})
    with pytest.raises(TryAgainError, match=f"answered {status} 'thanks'") as caught:
        await post(server.url)
    assert caught.value.after_s == 7


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410])
async def test_what_will_not_pass_is_refused_and_no_redirect_followed(
    server: Server, status: int
) -> None:
    server.answer = (status, {"Location": server.url + "/elsewhere"})
    with pytest.raises(RefusedError, match=f"answered {status}"):
        await post(server.url)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "given", ["soon", "Wed, 99 Nov", "", "nan", "-nan", f"Mon, 01 Jan {10**20} 00:00:00 GMT"]
)
async def test_a_retry_after_that_can_not_be_read_asks_for_nothing(
    server: Server, given: str
) -> None:
    server.answer = (503, {"Retry-After": given})
    with pytest.raises(TryAgainError) as caught:
        await post(server.url)
    assert caught.value.after_s is None


async def test_a_retry_after_may_be_a_date_and_is_bounded(server: Server) -> None:
    server.answer = (503, {"Retry-After": formatdate(time.time() + 100, usegmt=True)})
    with pytest.raises(TryAgainError) as caught:
        await post(server.url)
    assert caught.value.after_s is not None
    assert 60 < caught.value.after_s <= 100
    server.answer = (503, {"Retry-After": "9999999"})
    with pytest.raises(TryAgainError) as caught:
        await post(server.url)
    assert caught.value.after_s == LONGEST_ASKED_S


@pytest.mark.parametrize("trouble", ["close", "hang"])
async def test_a_connection_that_breaks_or_hangs_is_worth_another_try(
    server: Server, trouble: str
) -> None:
    server.answer = trouble
    with pytest.raises(TryAgainError, match="can't be reached"):
        await post(server.url, timeout_s=0.3)


async def test_a_port_where_nobody_listens_is_worth_another_try() -> None:
    with pytest.raises(TryAgainError, match="can't be reached"):
        await post("http://127.0.0.1:1/")


@pytest.mark.parametrize("host", ["localhost", "0x7f.1", "2130706433"])
async def test_a_name_that_leads_inside_is_refused_before_anything_is_sent(
    server: Server, host: str
) -> None:
    said = r"leads to the internal address (127\.0\.0\.1|::1)|can't be connected to"
    with pytest.raises(RefusedError, match=said):
        await post(f"http://{host}:{server.server_port}/", allow_internal=False)
    assert server.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "１２７.０.０.１", "[::ffff:127.0.0.1]"])
async def test_an_internal_address_is_refused_at_the_connection_too(
    server: Server, host: str
) -> None:
    with pytest.raises(RefusedError, match="is an internal address; allow_internal = true"):
        await post(f"http://{host}:{server.server_port}/", allow_internal=False)
    assert server.requests == []


async def test_a_name_is_looked_up_again_for_each_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that was public at the first look and is internal at the next gets nothing."""
    loop = asyncio.get_running_loop()
    answers = iter(["203.0.113.9", "127.0.0.1"])
    looked_up: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        address = next(answers)
        looked_up.append(address)
        return [(2, 1, 6, "", (address, port))]

    async def refuse(*_: Any, **__: Any) -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("stream.sinks.addresses.is_internal", lambda one: one.startswith("127"))
    monkeypatch.setattr(loop, "create_connection", refuse)
    monkeypatch.setattr(loop, "sock_connect", refuse)
    sink = WebhookSink(
        f"http://hook.example:{server.server_port}/",
        body=bellwether,
        secret=b"",
        allow_internal=False,
        timeout_s=5,
    )
    with pytest.raises(TryAgainError):
        await sink.send(notification())
    with pytest.raises(RefusedError, match="internal address"):
        await sink.send(notification())
    await sink.close()
    assert looked_up == ["203.0.113.9", "127.0.0.1"]
    assert server.requests == []
