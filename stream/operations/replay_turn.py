"""One replay of dead letters at a time: a second one would send what the first is sending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError

from stream.config.settings import Settings
from stream.connections.clients import RESTART_S, redis_client, redis_remedy
from stream.connections.lease import LEASE_S, RENEW_S, Lease
from stream.names import Keys
from stream.runtime.errors import StartError
from stream.runtime.tasks import end


class ReplayTurn:
    """Held while its owner replays; check() says so before each part that is sent."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def check(self) -> None:
        """Raises StartError where another replays, or without Redis."""
        try:
            held = await self._lease.hold()
        except (RedisError, OSError) as error:
            raise StartError(
                f"Redis can't be reached ({error}), which keeps two replays from sending the same; "
                f"{redis_remedy(error)}"
            ) from error
        if not held:
            raise StartError(
                "dead letters are being replayed by someone else; try again when that is done "
                f"({LEASE_S:.0f} s after it was killed)"
            )

    async def renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            # The next part that is sent checks, and says what is wrong.
            with suppress(RedisError, OSError):
                await self._lease.hold()


@asynccontextmanager
async def replay_turn(settings: Settings) -> AsyncIterator[ReplayTurn]:
    """The turn to replay, while the context lasts. Raises StartError as check() does."""
    async with redis_client(settings.redis, restart_s=RESTART_S) as redis:
        lease = Lease(redis, Keys(settings.redis.prefix).replaying)
        turn = ReplayTurn(lease)
        await turn.check()
        renewing = asyncio.get_running_loop().create_task(turn.renew_for_ever())
        try:
            yield turn
        finally:
            await end(renewing)
            with suppress(RedisError, OSError):
                await lease.give_up()
