"""Serves an aiohttp application at an address of the settings; names one that is in use."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from aiohttp import web

from stream.runtime.errors import StartError


@contextlib.asynccontextmanager
async def served(
    application: web.Application,
    host: str,
    port: int,
    *,
    setting: str,
    remedy: str,
    shutdown_s: float,
) -> AsyncIterator[str]:
    """Serve while the context lasts; gives the address to open in a browser.

    setting begins the message of the StartError for an address in use, remedy ends it. shutdown_s
    is how long requests under way may take at the end.
    """
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=shutdown_s)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise StartError(f"can't listen on {setting} ({error.strerror}); {remedy}") from error
        host, port = runner.addresses[0][:2]
        yield f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    finally:
        await runner.cleanup()
