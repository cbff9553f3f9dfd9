"""The address that a request comes from: the connection's, or the one that a trusted proxy names."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import web

Network = IPv4Network | IPv6Network

CLIENT = web.RequestKey("client", str)


def client_of(request: web.Request, trusted: Sequence[Network]) -> str:
    """The client's address; empty if the connection has none.

    ``X-Forwarded-For`` is read from its end, where the nearest proxy wrote. What stands before the first address that
    is not a trusted proxy's was written by the client, who may write anything.
    """
    client = request.remote or ""
    said = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    while said and is_within(client, trusted):
        address = _address(said.pop().strip())
        if address is None:
            break
        client = str(address)
    return client


def is_within(text: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks; text that is not an address is in none."""
    address = _address(text)
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
