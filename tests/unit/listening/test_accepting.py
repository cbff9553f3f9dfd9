"""A burst of connections is taken in a few at a time, and none of it is lost."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import ExitStack

from ctiserver.listening import accepting
from tests.support.eventually import eventually


async def test_a_burst_takes_few_descriptors_before_the_first_connection_is_counted() -> None:
    open_at_first: list[int] = []
    made: list[asyncio.BaseTransport] = []

    class Counting(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            if not made:
                open_at_first.append(len(os.listdir("/proc/self/fd")))
            made.append(transport)

    async def count() -> int:
        return len(made)

    server = await accepting.bound(Counting, "127.0.0.1", 0)
    with ExitStack() as stack:
        await accepting.start(server)
        where = server.sockets[0].getsockname()
        for _ in range(500):  # the loop stands still meanwhile: the kernel keeps them all
            stack.enter_context(socket.create_connection(where, timeout=20))
        before = len(os.listdir("/proc/self/fd"))
        assert await eventually(count, lambda found: found == 500) == 500
        for transport in made:
            transport.close()
    server.close()
    assert open_at_first[0] - before <= 200
