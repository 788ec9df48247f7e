"""The console's web server: routes from the tables of operations and pages, over one Services."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from redis.asyncio import Redis

from models.registry import Alias, Registry
from models.spec import Head
from stream.alerts.lifecycle import Lifecycle
from stream.alerts.silence_store import SilenceStore
from stream.alerts.store import AlertStore
from stream.config.connections import is_loopback
from stream.config.settings import Settings
from stream.connections.clients import RESTART_S, redis_client
from stream.connections.http_server import served
from stream.console import (
    alerts_api,
    dead_letters_api,
    explanations_api,
    health_api,
    labels_api,
    models_api,
    silences_api,
    subjects_api,
    thresholds_api,
)
from stream.console.errors import NotFoundError
from stream.console.explanations import Explain, Explanations
from stream.console.guard import IDENTITY, add_headers, fault, guard, require
from stream.console.live import Hub, frame_of
from stream.console.openapi import PREFIX, document
from stream.console.operations import Call, Operation
from stream.console.pages import Pages
from stream.console.prices import Prices
from stream.console.recent import Recent
from stream.console.services import LabelLog, Sender, Services
from stream.console.sessions import Sessions
from stream.console.users import Users
from stream.names import Keys
from stream.signals.signal_store import SignalStore

logger = logging.getLogger(__name__)

SERVICES: web.AppKey[Services] = web.AppKey("services", Services)
SHUTDOWN_S = 2.0
MAX_BODY_BYTES = 256 * 1024
FRAME_S = 0.2
"""Updates are sent together this often: what a person can see, and no more."""
HEARTBEAT_S = 5.0
BEAT = frame_of("beat", {})
"""An event and no comment: by it a page knows that a connection which is silent is dead."""
STREAM_S = 1_800.0
"""A stream of updates ends after this; the browser comes back and is asked who it is again."""

OPERATIONS: tuple[Operation, ...] = (
    *alerts_api.operations(),
    *explanations_api.operations(),
    *thresholds_api.operations(),
    *silences_api.operations(),
    *labels_api.operations(),
    *models_api.operations(),
    *subjects_api.operations(),
    *health_api.operations(),
    *dead_letters_api.operations(),
)


def signals_of(settings: Settings, redis: Redis, keys: Keys) -> SignalStore:
    """To read from: how much a worker remembers of its writes plays no part."""
    replay_s = settings.alerting.replay_s
    return SignalStore(redis, keys, settings.signals, replay_s=replay_s, remembered=1)


@contextlib.asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    registry: Registry | None,
    heads: Callable[[], tuple[Head, ...]],
    labels: LabelLog,
    explain: Explain,
) -> AsyncIterator[Services]:
    """The parts, at work while the context lasts. Neither Redis nor Kafka need be there yet.

    Raises SettingsError for a file of prices that can't be used.
    """
    file = settings.console.prices
    prices = await asyncio.to_thread(Prices, file) if file else None
    redis = redis_client(settings.redis, restart_s=RESTART_S)
    keys = Keys(settings.redis.prefix)
    hub: Hub

    def heard_of_model(alias: Alias) -> None:
        # At the end of its time in shadow a version becomes champion, and nobody is in shadow.
        hub.tell("model", alias, about=alias.alias)

    recent = Recent(settings, heard_of_model)
    hub = Hub(redis, keys, lambda: recent.fault)
    sender = Sender(settings)
    recent.start()
    hub.start()
    try:
        yield Services(
            settings=settings,
            redis=redis,
            keys=keys,
            alerts=AlertStore(redis, keys, settings.alerting),
            lifecycle=Lifecycle(redis, keys, settings.alerting),
            silences=SilenceStore(redis, keys),
            signals=signals_of(settings, redis, keys),
            sender=sender,
            recent=recent,
            hub=hub,
            registry=registry,
            heads=heads,
            labels=labels,
            explanations=Explanations(explain),
            prices=prices,
        )
    finally:
        await hub.stop()
        await recent.stop()
        await sender.stop()
        await redis.aclose()


def application(services: Services) -> web.Application:
    """Raises SettingsError for a users file that can't be used."""
    console = services.settings.console
    sessions = Sessions(Users(console.users) if console.users else None)
    app = web.Application(
        middlewares=[guard(sessions, only_here=is_loopback(console.host))],
        client_max_size=MAX_BODY_BYTES,
    )
    app[SERVICES] = services
    for operation in OPERATIONS:
        app.router.add_route(operation.method, PREFIX + operation.path, _handler(operation))
    described = msgspec.json.encode(document(OPERATIONS))
    app.router.add_get(f"{PREFIX}/openapi.json", _constant(described, "application/json"))
    app.router.add_route("*", "/api/{path:.*}", _no_operation)
    app.router.add_get("/alive", _constant(b"ok\n", "text/plain"))
    app.router.add_get("/live", live)
    Pages(sessions).add_to(app.router)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_close_viewers)
    return app


def listening(services: Services) -> contextlib.AbstractAsyncContextManager[str]:
    """Serve at console.listen while the context lasts; gives the address to open in a browser."""
    console = services.settings.console
    return served(
        application(services),
        console.host,
        console.port,
        setting=f"console.listen {console.listen}",
        remedy="choose another port (BELLWETHER_CONSOLE__LISTEN)",
        shutdown_s=SHUTDOWN_S,
    )


async def live(request: web.Request) -> web.StreamResponse:
    """Server-sent events: alert, reload, model and status."""
    hub = request.app[SERVICES].hub
    viewer = hub.join()
    if viewer is None:
        return fault(503, "too many pages are open on this console; close some")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    loop = asyncio.get_running_loop()
    until = loop.time() + STREAM_S
    try:
        await response.prepare(request)
        while not viewer.closed and loop.time() < until:
            frames = await viewer.take(HEARTBEAT_S)
            await response.write(frames or BEAT)
            await asyncio.sleep(FRAME_S)
    except ConnectionError:
        pass  # the page was closed
    finally:
        hub.leave(viewer)
    return response


def _handler(operation: Operation) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        identity = request[IDENTITY]
        require(identity, operation.role)
        body = None
        if operation.body:
            try:
                body = msgspec.json.decode(await request.read(), type=operation.body)
            except UnicodeDecodeError as error:
                raise msgspec.DecodeError(f"the body is not UTF-8 ({error.reason})") from None
        call = Call(
            services=request.app[SERVICES],
            by=identity,
            path=dict(request.match_info),
            query=_query(request, operation),
            body=body,
        )
        answer = await operation.run(call)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    return handle


def _query(request: web.Request, operation: Operation) -> Any:
    if operation.query is None:
        return None
    # A parameter that may come several times is a list, any other its only value.
    several = {
        field.name
        for field in msgspec.structs.fields(operation.query)
        if field.default == () or str(field.type).startswith("tuple")
    }
    given: dict[str, Any] = {
        name: request.query.getall(name) if name in several else request.query[name]
        for name in request.query
    }
    return msgspec.convert(given, operation.query, strict=False)


async def _no_operation(_: web.Request) -> web.Response:
    raise NotFoundError(
        f"no operation has this path and method; {PREFIX}/openapi.json has them all"
    )


def _constant(body: bytes, content_type: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    return answer


async def _close_viewers(app: web.Application) -> None:
    app[SERVICES].hub.close_viewers()
