"""A TCP line that can be cut: between the server and a PBX's manager interface."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

_FREED_WITHIN_S, _LOOK_EVERY_S = 5.0, 0.02


@dataclass
class TcpProxy:
    """Connections pass through; until :meth:`reset` breaks them or :meth:`freeze` stops every byte."""

    host: str
    port: int
    listens_at: int = 0
    connections: int = 0
    version: bytes = b""  #: what Asterisk is made to say of itself; empty: what it says
    sent: list[bytes] = field(default_factory=list)  #: every AMI action that went through, as it was written
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _acted: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        """Break every connection, as a firewall that forgets does."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def reset_after_action(self, within_s: float) -> bool:
        """Break every connection as soon as an action has gone through, so that nobody hears what came of it.

        Pings don't count. False if none came in time; it is broken all the same.
        """
        self._acted.clear()
        try:
            async with asyncio.timeout(within_s):
                await self._acted.wait()
        except TimeoutError:
            return False
        finally:
            self.reset()
        return True

    def freeze(self) -> None:
        """Half-open: both ends believe that the line stands, and nothing passes."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let what was held back pass."""
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            try:
                there, back = await asyncio.open_connection(self.host, self.port)
            except OSError:
                return
            self._writers.add(back)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, back, self._actions()))
                    group.create_task(self._pump(there, writer, changed=self._with_version))
            finally:
                self._writers.discard(back)
                back.transport.abort()
        except asyncio.CancelledError:
            pass  # the line's end; asyncio would complain of a connection that was cancelled
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(
        self,
        source: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        seen: Callable[[bytes], None] = lambda _: None,
        changed: Callable[[bytes], bytes] = lambda data: data,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                await self._flowing.wait()
                to.write(changed(data))
                await to.drain()
                seen(data)
        to.transport.abort()

    def _with_version(self, data: bytes) -> bytes:
        return re.sub(rb"(AsteriskVersion: )[^\r\n]*", rb"\g<1>" + self.version, data) if self.version else data

    def _actions(self) -> Callable[[bytes], None]:
        """Note the actions of one connection as its bytes go by."""
        left = b""

        def see(data: bytes) -> None:
            nonlocal left
            *whole, left = (left + data).split(b"\r\n\r\n")
            self.sent += whole
            if any(not action.startswith(b"Action: Ping") for action in whole):
                self._acted.set()

        return see


@contextlib.asynccontextmanager
async def line(host: str, port: int) -> AsyncIterator[TcpProxy]:
    """A line to ``host:port``, at ``listens_at`` on 127.0.0.1."""
    made = TcpProxy(host, port)
    made.thaw()
    server = await asyncio.start_server(made._serve, "127.0.0.1", 0)
    made.listens_at = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.thaw()
        made.reset()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def gone(port: int) -> AsyncIterator[None]:
    """Make ``port`` on 127.0.0.1 that of a host which is gone: what is sent there vanishes, without an answer.

    The queue of a listener that accepts nobody is filled, whereupon Linux drops what else would connect.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        async with asyncio.timeout(_FREED_WITHIN_S):
            # A process of many threads that was killed holds its port until the last of them has ended.
            while not _bound(listener, port):
                await asyncio.sleep(_LOOK_EVERY_S)
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
        yield


def _bound(listener: socket.socket, port: int) -> bool:
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True
