"""The line that a drill cuts: it breaks after an action, and knows what went through."""

from __future__ import annotations

import asyncio

from ctiserver.lab.drill.proxy import line
from tests.support.eventually import eventually

PING = b"Action: Ping\r\nActionID: 1\r\n\r\n"
PAUSE = b"Action: QueuePause\r\nActionID: 2\r\n\r\n"


async def test_it_breaks_once_an_action_has_arrived_and_not_for_a_ping() -> None:
    arrived: list[bytes] = []

    async def pbx(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            arrived.append(data)
        writer.close()

    server = await asyncio.start_server(pbx, "127.0.0.1", 0)
    async with server, line("127.0.0.1", server.sockets[0].getsockname()[1]) as cut:
        reader, writer = await asyncio.open_connection("127.0.0.1", cut.listens_at)
        async with asyncio.TaskGroup() as group:
            broken = group.create_task(cut.reset_after_action(20.0))
            writer.write(PING + PAUSE[:20])
            await writer.drain()

            async def sent() -> list[bytes]:
                return cut.sent

            await eventually(sent)
            assert not broken.done()
            writer.write(PAUSE[20:])
        assert broken.result()
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        assert cut.sent == [PING.strip(), PAUSE.strip()]
        writer.close()
    assert b"".join(arrived) == PING + PAUSE


async def test_it_breaks_all_the_same_when_nobody_acts() -> None:
    async with line("127.0.0.1", 9) as cut:
        assert not await cut.reset_after_action(0.01)
