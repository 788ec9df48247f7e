"""Mail, chat and pagers through apprise, which speaks to more than a hundred services."""

from __future__ import annotations

import asyncio
import logging
import socket
from urllib.parse import urlsplit

import apprise

from stream.notify.notification import Notification, RefusedError, TryAgainError
from stream.sinks.addresses import is_internal
from stream.sinks.payloads import summary, text

# Its messages may quote addresses, which hold passwords and tokens.
logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)


class AppriseSink:
    """apprise connects by itself: the host is looked up and checked before, not pinned."""

    def __init__(
        self, url: str, *, allow_internal: bool, timeout_s: float, console: str = ""
    ) -> None:
        """Raises ValueError for an address that apprise does not understand."""
        if apprise.Apprise.instantiate(url) is None:
            raise ValueError("is no address that apprise understands; see its list of services")
        self._url = url
        self._host = urlsplit(url).hostname
        self._allow_internal = allow_internal
        self._timeout_s = timeout_s
        self._console = console

    async def send(self, notification: Notification) -> None:
        await asyncio.to_thread(self._check)
        service = apprise.Apprise()
        service.add(self._url)
        kind = {"resolved": "success", "firing": "warning"}[notification.status]
        try:
            async with asyncio.timeout(self._timeout_s):
                done = await service.async_notify(
                    title=summary(notification),
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

    def _check(self) -> None:
        if self._allow_internal or not self._host:
            return
        try:
            found = socket.getaddrinfo(self._host, None)
        except OSError:
            return  # many services put a token where a host would stand
        for *_, place in found:
            if is_internal(str(place[0])):
                raise RefusedError("leads to an internal address; allow_internal = true permits it")
