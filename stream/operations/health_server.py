"""Health, readiness and metrics over HTTP: open on this machine, by token from elsewhere."""

from __future__ import annotations

import contextlib
import hmac
import logging
import re
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec
from aiohttp import web

from stream.config.connections import Http, is_loopback
from stream.connections.clients import http_token
from stream.connections.http_server import served

logger = logging.getLogger(__name__)

# As aiohttp has it; whoever asks for metrics is soon done.
SHUTDOWN_S = 60.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "bellwether"}


class Report(msgspec.Struct, frozen=True):
    """Whether all is well, and what was looked at."""

    ok: bool
    details: dict[str, str]


class Endpoints(Protocol):
    """What a service says of itself."""

    def health(self) -> Report:
        """Whether the process works; one that does not is to be restarted."""
        ...

    async def ready(self) -> Report:
        """Whether it has all it needs to take records now."""
        ...

    def metrics(self) -> bytes:
        """In Prometheus' text format."""
        ...


@contextlib.asynccontextmanager
async def serve_http(http: Http, endpoints: Endpoints) -> AsyncIterator[str]:
    """Answer at http.listen while the context lasts; gives the address, empty if it is off.

    Raises SettingsError for a token that can't be read, StartError for an address in use.
    """
    if not http.listen:
        yield ""
        return
    served_at = served(
        _Handlers(http, endpoints).application(),
        http.host,
        http.port,
        setting=f"http.listen {http.listen}",
        remedy="give each process an address of its own (BELLWETHER_HTTP__LISTEN)",
        shutdown_s=SHUTDOWN_S,
    )
    async with served_at as address:
        logger.info("health, readiness and metrics at %s", address)
        yield address


class _Handlers:
    def __init__(self, http: Http, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self._token = http_token(http)
        self._only_here = is_loopback(http.host)

    def application(self) -> web.Application:
        application = web.Application()
        for path, handler in (
            ("/health", self._health),
            ("/ready", self._ready),
            ("/metrics", self._metrics),
        ):
            application.router.add_get(path, handler)
        return application

    async def _health(self, request: web.Request) -> web.Response:
        return self._answer(request, self._endpoints.health())

    async def _ready(self, request: web.Request) -> web.Response:
        return self._answer(request, await self._endpoints.ready())

    async def _metrics(self, request: web.Request) -> web.Response:
        if not self._trusts(request):
            headers = {**HEADERS, "WWW-Authenticate": "Bearer"}
            return web.Response(status=401, text="needs the token\n", headers=headers)
        headers = {**HEADERS, "Content-Type": METRICS_TYPE}
        return web.Response(body=self._endpoints.metrics(), headers=headers)

    def _answer(self, request: web.Request, report: Report) -> web.Response:
        status = 200 if report.ok else 503
        if not self._trusts(request):
            # Enough for a load balancer, and nothing for a stranger.
            word = "ok\n" if report.ok else "failed\n"
            return web.Response(status=status, text=word, headers=HEADERS)
        headers = {**HEADERS, "Content-Type": "application/json"}
        return web.Response(status=status, body=msgspec.json.encode(report), headers=headers)

    def _trusts(self, request: web.Request) -> bool:
        # A page in a browser on this machine can send us requests under a name of its own.
        if self._only_here and not is_loopback(_name(request.host)):
            return False
        if self._token is None:
            return True
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(errors="replace"), self._token.encode())


def _name(host: str) -> str:
    """A Host header without its port."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::[0-9]*)?", host)
    return (found[1] or found[2]) if found else ""
