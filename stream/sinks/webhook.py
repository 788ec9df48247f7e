"""A signed HTTP POST to an address outside."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import msgspec

from stream.notify.notification import Notification, RefusedError, TryAgainError
from stream.sinks.addresses import CheckedResolver, InternalAddressError, checked_socket

ID_HEADER = "Bellwether-Notification"
TIMESTAMP_HEADER = "Bellwether-Timestamp"
SIGNATURE_HEADER = "Bellwether-Signature"

LONGEST_ASKED_S = 3_600.0
ANSWER_CHARS = 200
_TAKEN = range(200, 300)
# Not now, and nothing wrong with what was sent: timeout, conflict, too early, too many.
_LATER = {408, 409, 425, 429}
_BROKEN = range(500, 600)


class WebhookSink:
    """Posts JSON; the address is checked at each connection, and no redirect is followed."""

    def __init__(
        self,
        url: str,
        *,
        body: Callable[[Notification], dict[str, Any]],
        secret: bytes,
        allow_internal: bool,
        timeout_s: float,
    ) -> None:
        """Without a secret the body is not signed."""
        self._url = url
        self._body = body
        self._secret = secret
        self._allow_internal = allow_internal
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, notification: Notification) -> None:
        content = msgspec.json.encode(self._body(notification))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "bellwether",
            ID_HEADER: notification.id,
            **sign(content, self._secret, round(time.time())),
        }
        try:
            async with self._opened().post(
                self._url, data=content, headers=headers, allow_redirects=False
            ) as response:
                if response.status in _TAKEN:
                    return
                answer = (await response.content.read(ANSWER_CHARS)).decode(errors="replace")
                reason = f"answered {response.status} {answer!r}"
                if response.status in _LATER or response.status in _BROKEN:
                    raise TryAgainError(reason, _asked_s(response.headers.get("Retry-After")))
                raise RefusedError(reason)
        except InternalAddressError as error:
            raise RefusedError(str(error)) from None
        except aiohttp.InvalidURL:
            raise RefusedError("its url can't be connected to") from None
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, InternalAddressError):
                raise RefusedError(str(error.os_error)) from None
            raise TryAgainError(f"can't be reached ({error.os_error})") from None
        except (aiohttp.ClientError, OSError) as error:
            # Not the error's text, which may quote the address.
            raise TryAgainError(f"can't be reached ({type(error).__name__})") from None

    async def close(self) -> None:
        if self._session:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=CheckedResolver(allow_internal=self._allow_internal),
                    use_dns_cache=False,
                    socket_factory=None if self._allow_internal else checked_socket,
                ),
                timeout=self._timeout,
                trust_env=False,
            )
        return self._session


def sign(content: bytes, secret: bytes, timestamp: int) -> dict[str, str]:
    """The headers that prove who sent a body and when: HMAC-SHA256 over "<timestamp>.<body>"."""
    headers = {TIMESTAMP_HEADER: str(timestamp)}
    if secret:
        digest = hmac.new(secret, f"{timestamp}.".encode() + content, hashlib.sha256)
        headers[SIGNATURE_HEADER] = f"v1={digest.hexdigest()}"
    return headers


def _asked_s(value: str | None) -> float | None:
    """Retry-After in seconds, given as such or as a date; an hour at most."""
    if value is None:
        return None
    try:
        asked_s = float(value)
        if math.isnan(asked_s):
            return None
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        asked_s = (
            moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        ).timestamp() - time.time()
    return min(max(asked_s, 0.0), LONGEST_ASKED_S)
