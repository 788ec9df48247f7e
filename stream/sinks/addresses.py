"""Which addresses a receiver may be at: a name is resolved, checked, and that address is used.

Whoever may write a routing file, or own a name in it, must not reach the services of our own
network through us.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PUBLIC = ipaddress.ip_network("2000::/3")
"""IANA has given out no other part of IPv6 for global unicast; some is used inside networks."""


class InternalAddressError(OSError):
    """A name or an address that leads into a network of our own."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}; allow_internal = true permits it")


def is_internal(address: str) -> bool:
    """Whether it is anything but a public unicast address, also when wrapped in an IPv6 one."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFF_FFFF)
        if inner is not None:
            return is_internal(str(inner))
        if found not in _PUBLIC:
            return True
    return not found.is_global or found.is_multicast


def check_url(url: str, *, allow_internal: bool) -> None:
    """Raises ValueError for what is no http(s) URL, or one that names an internal address.

    A name is looked up when it is connected to; see CheckedResolver.
    """
    try:
        # Read as aiohttp reads it, to which digits and dots of any script make an IP address.
        parts = URL(url)
    except ValueError:
        # Not the error's text, which quotes the address.
        parts = URL()
    if parts.scheme not in {"http", "https"} or not parts.raw_host:
        raise ValueError("must be an http:// or https:// address")
    if parts.user or parts.password:
        raise ValueError("must not hold a login; sign the body with secret_env instead")
    try:
        literal = ipaddress.ip_address(parts.raw_host.partition("%")[0])
    except ValueError:
        return
    if not allow_internal and is_internal(str(literal)):
        raise ValueError(f"{literal} is an internal address; allow_internal = true permits it")


def checked_socket(place: AddrInfoType) -> socket.socket:
    """The socket of a connection outside; for aiohttp, which asks no resolver about an address.

    Raises InternalAddressError.
    """
    family, kind, protocol, _, address = place
    if is_internal(str(address[0])):
        raise InternalAddressError(f"{address[0]} is an internal address")
    return socket.socket(family, kind, protocol)


class CheckedResolver(AbstractResolver):
    """Gives aiohttp the very addresses that were checked, so that no second answer slips in."""

    def __init__(self, *, allow_internal: bool) -> None:
        self._allow_internal = allow_internal

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        addresses: list[ResolveResult] = []
        for own_family, _, protocol, _, place in found:
            address = str(place[0])
            if not self._allow_internal and is_internal(address):
                raise InternalAddressError(f"{host} leads to the internal address {address}")
            addresses.append(
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=own_family,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST,
                )
            )
        return addresses

    async def close(self) -> None:
        pass
