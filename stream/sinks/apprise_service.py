"""Mail, chat and pagers through apprise, which speaks to more than a hundred services."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any
from urllib.parse import parse_qs, urlsplit

import apprise

from stream.notify.notification import Notification, RefusedError, TryAgainError
from stream.sinks.addresses import is_internal
from stream.sinks.payloads import summary, text

TITLE_CHARS = 200
"""apprise cuts a message too late where its title is as long as it lets titles be (250)."""

# Its messages may quote addresses, which hold passwords and tokens.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


class AppriseSink:
    """apprise connects by itself: the hosts are looked up and checked before, not pinned.

    Redirects are followed only where it may go anywhere.
    """

    def __init__(
        self, url: str, *, allow_internal: bool, timeout_s: float, console: str = ""
    ) -> None:
        """Raises ValueError for an address that apprise does not understand."""
        if apprise.Apprise.instantiate(url) is None:
            raise ValueError("is no address that apprise understands; see its list of services")
        self._url = url
        self._allow_internal = allow_internal
        self._timeout_s = timeout_s
        self._console = console

    async def send(self, notification: Notification) -> None:
        plugin: Any = apprise.Apprise.instantiate(self._url)
        if "overflow" not in parse_qs(urlsplit(self._url).query):
            # A chat refuses what is longer than its messages, and nobody would be told of a wave.
            plugin.overflow_mode = apprise.OverflowMode.TRUNCATE
        if not self._allow_internal:
            # Over any redirect= in the address, which would lead where nobody looked.
            plugin.redirects = False
            await asyncio.to_thread(_check, _hosts(self._url, plugin))
        service = apprise.Apprise()
        service.add(plugin)
        kind = {"resolved": "success", "firing": "warning"}[notification.status]
        try:
            async with asyncio.timeout(self._timeout_s):
                done = await service.async_notify(
                    title=summary(notification)[:TITLE_CHARS],
                    body=text(notification, console=self._console),
                    notify_type=apprise.NotifyType(kind),
                    body_format=apprise.NotifyFormat.TEXT,
                )
        except TimeoutError:
            raise TryAgainError(f"no answer within {self._timeout_s:g} s") from None
        if not done:
            raise TryAgainError("the service did not take it")

    async def close(self) -> None:
        pass


def _hosts(url: str, plugin: Any) -> set[str]:
    """Where it may connect to: parameters such as smtp= name hosts beside that of the address."""
    held = [value for name, value in vars(plugin).items() if "host" in name]
    return {
        host.strip("[]") for host in (urlsplit(url).hostname, *held) if host and type(host) is str
    }


def _check(hosts: set[str]) -> None:
    """Raises RefusedError."""
    for host in hosts:
        try:
            found = socket.getaddrinfo(host, None)
        except (OSError, UnicodeError):
            continue  # many services put a token where a host would stand
        if any(is_internal(str(place[0])) for *_, place in found):
            raise RefusedError("leads to an internal address; allow_internal = true permits it")
