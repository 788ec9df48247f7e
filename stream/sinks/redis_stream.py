"""Notifications on a Redis stream, each once."""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from stream.notify.notification import Notification, TryAgainError
from stream.sinks.payloads import bellwether

REMEMBER_S = 86_400
# One script, so that a repeat after a crash adds nothing and a crash between two steps can't be.
_ADD_ONCE = """
if redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[3]) then
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'notification', ARGV[1])
end
"""


class RedisSink:
    def __init__(self, redis: Redis, stream: str, max_length: int) -> None:
        self._stream = stream
        self._max_length = max_length
        self._add_once = redis.register_script(_ADD_ONCE)

    async def send(self, notification: Notification) -> None:
        content = msgspec.json.encode(bellwether(notification))
        keys = [self._stream, f"{self._stream}:sent:{notification.id}"]
        try:
            await self._add_once(keys=keys, args=[content, self._max_length, REMEMBER_S])
        except (RedisError, OSError) as error:
            raise TryAgainError(f"Redis did not take it ({type(error).__name__})") from None

    async def close(self) -> None:
        pass
