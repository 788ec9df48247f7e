"""Health, readiness and metrics: right answers, and nothing for strangers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from aiohttp import ClientSession

from stream.config.connections import Http
from stream.operations.health_server import Report, serve_http
from stream.runtime.errors import StartError

TOKEN = "a-token-of-the-test"


class Service:
    """stream.operations.health_server.Endpoints with answers of the test's choice."""

    ok = True

    def health(self) -> Report:
        return Report(self.ok, {"worker": "secret detail"})

    async def ready(self) -> Report:
        return Report(self.ok, {"redis": "secret detail"})

    def metrics(self) -> bytes:
        return b"bellwether_events_total 1.0\n"


async def get(
    address: str, path: str, *, token: str = "", host: str = ""
) -> tuple[int, str, dict[str, str]]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if host:
        headers["Host"] = host
    async with ClientSession() as client, client.get(address + path, headers=headers) as answer:
        return answer.status, await answer.text(), dict(answer.headers)


async def test_on_this_machine_everything_is_answered() -> None:
    service = Service()
    async with serve_http(Http(listen="127.0.0.1:0"), service) as address:
        assert (await get(address, "/health"))[0] == 200
        assert "secret detail" in (await get(address, "/ready"))[1]
        status, body, headers = await get(address, "/metrics")
        assert (status, body) == (200, "bellwether_events_total 1.0\n")
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert headers["Server"] == "bellwether"
        service.ok = False
        assert (await get(address, "/health"))[0] == 503
        assert (await get(address, "/ready"))[0] == 503
        assert (await get(address, "/"))[0] == 404


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "\xff"])
async def test_without_the_token_a_stranger_learns_only_ok_or_failed(
    token: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    http = Http(listen="0.0.0.0:0", token_file=tmp_path / "token")
    async with serve_http(http, Service()) as address:
        ours = address.replace("0.0.0.0", "127.0.0.1")
        assert (await get(ours, "/health", token=token))[:2] == (200, "ok\n")
        assert (await get(ours, "/ready", token=token))[:2] == (200, "ok\n")
        status, body, _ = await get(ours, "/metrics", token=token)
        assert (status, body) == (401, "needs the token\n")
        assert (await get(ours, "/metrics", token=TOKEN))[0] == 200
        assert "secret detail" in (await get(ours, "/ready", token=TOKEN))[1]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "[", "127.0.0.1.evil.example"])
async def test_a_web_page_that_calls_us_by_its_own_name_is_a_stranger(host: str) -> None:
    async with serve_http(Http(listen="127.0.0.1:0"), Service()) as address:
        assert (await get(address, "/metrics", host=host))[0] in {400, 401}
        assert "secret" not in (await get(address, "/ready", host=host))[1]


async def test_without_an_address_nothing_listens() -> None:
    async with serve_http(Http(), Service()) as address:
        assert address == ""


async def test_an_address_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError, match=r"http\.listen 127.*an address of its own"):
            async with serve_http(Http(listen=listen), Service()):
                pass
