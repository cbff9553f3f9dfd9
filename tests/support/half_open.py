"""Strangers in a process of their own: ``python -m tests.support.half_open PORT COUNT`` opens COUNT connections on
loopback, says half a FastAGI header on each, and opens those again that are ended; until its input ends, for a minute
at the most."""

from __future__ import annotations

import asyncio
import contextlib
import sys

_AT_MOST_S = 60.0


async def _one(port: int) -> None:
    while True:
        with contextlib.suppress(ConnectionError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"agi_network: yes\n")
            await reader.read()
            writer.close()


async def _main(port: int, count: int) -> None:
    strangers = [asyncio.create_task(_one(port)) for _ in range(count)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_AT_MOST_S):
            await asyncio.to_thread(sys.stdin.buffer.read)
    for stranger in strangers:
        stranger.cancel()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
