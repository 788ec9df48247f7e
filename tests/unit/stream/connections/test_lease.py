"""A lease has one holder, and ends by itself whatever becomes of the clock of Redis."""

from __future__ import annotations

from redis.asyncio import Redis

from stream.connections.lease import LEASE_S, Lease

KEY = "bw:notify:lease"


async def test_one_holds_it_until_it_is_given_up(client: Redis) -> None:
    first, second = Lease(client, KEY), Lease(client, KEY)
    assert await first.hold()
    assert await first.hold()
    assert not await second.hold()
    await first.give_up()
    assert await second.hold()


async def test_a_dead_holder_keeps_nobody_out_where_the_clock_was_set_back(client: Redis) -> None:
    """Redis keeps the moment of the end, which is an hour and ten seconds away then."""
    dead, second = Lease(client, KEY), Lease(client, KEY)
    assert await dead.hold()
    await client.pexpire(KEY, round((LEASE_S + 3_600) * 1000))
    assert await second.hold()
    assert not await dead.write([["SET", "mine", "1"]])
    assert 0 < await client.pttl(KEY) <= LEASE_S * 1000
