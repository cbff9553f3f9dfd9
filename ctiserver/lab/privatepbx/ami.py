"""As much AMI as a private PBX needs of itself: log in, wait until it has booted, record what it says.

The server's own link is ``ctiserver.pbx.link``; this one shares nothing with it, so that a recording is what the PBX
said and not what the link made of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from ctiserver.errors import PeerLost, UserFault

_END = b"\r\n\r\n"
_LIMIT = 1 << 20


@contextlib.asynccontextmanager
async def session(
    host: str, port: int, username: str, secret: str
) -> AsyncIterator[tuple[asyncio.StreamReader, bytes]]:
    """A logged-in AMI connection: where to read on, and what was read up to here (banner and log-in).

    Raises OSError where nobody listens, PeerLost where the connection ends, UserFault where the log-in is refused.
    """
    reader, writer = await asyncio.open_connection(host, port, limit=_LIMIT)
    try:
        seen = await reader.readuntil(b"\r\n")
        writer.write(f"Action: Login\r\nActionID: 1\r\nUsername: {username}\r\nSecret: {secret}\r\n\r\n".encode())
        while b"Response: " not in seen:
            seen += await reader.readuntil(_END)
        if b"Response: Success" not in seen:
            raise UserFault(f"the PBX refused the log-in of {username}", where=f"{host}:{port}", fix="Check the secret")
        yield reader, seen
    except asyncio.IncompleteReadError as error:
        raise PeerLost(f"the PBX at {host}:{port} closed the connection") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def wait_booted(host: str, port: int, username: str, secret: str) -> None:
    """Return once the PBX says FullyBooted, which it repeats to everybody who logs in later."""
    async with session(host, port, username, secret) as (reader, seen):
        while b"Event: FullyBooted" not in seen:
            seen = await reader.readuntil(_END)


async def capture(host: str, port: int, username: str, secret: str, to: Path) -> None:
    """Write every byte the PBX sends to ``to``, banner first, until the connection closes or we are cancelled."""
    with to.open("wb") as file:
        async with session(host, port, username, secret) as (reader, seen):
            while seen:
                file.write(seen)
                file.flush()
                seen = await reader.read(65536)
