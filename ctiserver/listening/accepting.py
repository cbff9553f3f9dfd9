"""Listen on an address, and take in what waits there a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

#: How many connections the kernel keeps until they are taken in.
_WAITING = 1024
#: How many are taken in during one turn of the event loop. asyncio opens that many before the first of them is heard
#: or counted: with 1024, one burst takes every descriptor.
_TAKEN_AT_ONCE = 64


async def bound(protocol: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> asyncio.Server:
    """What will serve ``protocol`` at ``host`` and ``port`` (0: any free one). Raises OSError where that is taken."""
    return await asyncio.get_running_loop().create_server(
        protocol, host, port, backlog=_TAKEN_AT_ONCE, start_serving=False
    )


async def start(server: asyncio.Server) -> None:
    """Take connections in from now on."""
    await server.start_serving()
    for listening in server.sockets:
        with listening.dup() as again:  # asyncio has one number for both; the kernel's can be set afterwards
            again.listen(_WAITING)
