"""A wire between two programs that can be cut: what goes in at one end comes out at the other, until it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Relay:
    """Listens on ``port``; connect there instead."""

    to_port: int
    port: int = 0
    _whole: bool = True
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """Break what is connected, and refuse everybody."""
        self._whole = False
        for writer in list(self._ends):
            writer.transport.abort()

    def heal(self) -> None:
        """Let those who come now through."""
        self._whole = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        self._ends |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as group:
                for source, target in ((reader, far_writer), (far_reader, writer)):
                    group.create_task(self._carry(source, target))
        finally:
            for end in (writer, far_writer):
                self._ends.discard(end)
                end.transport.abort()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        target.transport.abort()


@asynccontextmanager
async def relay(to_port: int) -> AsyncIterator[Relay]:
    """A wire to a port of 127.0.0.1, whole at first."""
    wire = Relay(to_port)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        wire.cut()
        server.close()
        await server.wait_closed()
