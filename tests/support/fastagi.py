"""A FastAGI server that does what a test tells it, and nothing of ctiserver's own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class AgiCall:
    """One AGI session: what Asterisk said of the call, and a way to command it."""

    request: dict[str, str]
    _reader: asyncio.StreamReader = field(repr=False)
    _writer: asyncio.StreamWriter = field(repr=False)

    @property
    def script(self) -> str:
        return self.request["agi_network_script"]

    async def do(self, command: str) -> str:
        """Send a command; returns Asterisk's answer."""
        self._writer.write(f"{command}\n".encode())
        while (line := await self._reader.readline()).startswith(b"100"):
            pass  # Gosub says first that it is trying
        return line.decode().strip()

    async def set(self, **variables: str) -> None:
        for name, value in variables.items():
            await self.do(f'SET VARIABLE {name} "{value}"')

    async def variable(self, name: str) -> str:
        """The value of a channel variable, empty if it is not set."""
        return (await self.do(f"GET VARIABLE {name}")).partition("(")[2].rstrip(")")

    async def hand_over(self, **variables: str) -> None:
        """Clear the dead-man, say what the dialplan shall do, and mark the session as done."""
        await self.do("SET AUTOHANGUP 0")
        await self.set(**variables, CTI_DONE="1")


Script = Callable[[AgiCall], Awaitable[None]]


class Scripted:
    """Runs one script per session, in order; a session too many, or a script that fails, is the test's failure."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self._waiting = list(scripts)
        self._changed = asyncio.Event()
        self._running = 0
        self.sessions: list[AgiCall] = []
        self.failure: BaseException | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._running += 1
        try:
            lines = (await reader.readuntil(b"\n\n")).decode().splitlines()
            request = dict(line.split(": ", 1) for line in lines if ": " in line)
            call = AgiCall(request, reader, writer)
            self.sessions.append(call)
            if not self._waiting:
                raise AssertionError(f"a session that no script was written for: {call.script}")
            await self._waiting.pop(0)(call)
        except Exception as error:  # noqa: BLE001 - the test fails with it
            self.failure = error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._running -= 1
            self._changed.set()

    async def all_done(self, within_s: float = 30.0) -> None:
        """Wait until every script has run."""
        async with asyncio.timeout(within_s):
            while self._waiting or self._running:
                if self.failure is not None:
                    raise self.failure
                self._changed.clear()
                await self._changed.wait()


@contextlib.asynccontextmanager
async def scripted(address: str, *scripts: Script) -> AsyncIterator[Scripted]:
    """Listen on ``host:port`` and run ``scripts`` for the sessions that come."""
    peer = Scripted(scripts)
    host, _, port = address.rpartition(":")
    server = await asyncio.start_server(peer.serve, host, int(port))
    try:
        yield peer
        if peer.failure is not None:
            raise peer.failure
    finally:
        server.close()
        await server.wait_closed()


@contextlib.contextmanager
def hung(address: str) -> Any:
    """A stopped server: the kernel accepts connections, and nobody ever reads them."""
    host, _, port = address.rpartition(":")
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, int(port)))
        listener.listen()
        yield listener
