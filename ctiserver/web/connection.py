"""One browser's connection: what is still to be sent to it, bounded, and how it is sent.

Nobody waits for a browser. What is told to it waits in a short queue here; one frame after another goes to the
kernel, the next when the kernel has all of the last. A browser that takes *something* is only slow and is borne with as
long as the queue lasts; one that takes nothing at all for ``HubLimits.stalled_s`` is out, and without a word, since it
would not read that either.

What a browser costs that reads nothing: the queue, one frame on its way and the kernel's buffer, whose size is fixed
(the kernel would let it grow to 4 MB). Frames are the same bytes for all who are sent them.
"""

from __future__ import annotations

import asyncio
import socket as sockets
from collections import deque
from dataclasses import dataclass

import structlog
from aiohttp import WSMsgType, web

from ctiserver.web.access import Person
from ctiserver.web.allowance import Allowance

log = structlog.get_logger(__name__)

CLOSE_GOING_AWAY = 1001
CLOSE_BAD_MESSAGE = 1008
CLOSE_RESTART = 1012  #: "service restart"
CLOSE_TOO_SLOW = 1013
CLOSE_LOGGED_OUT = 4401

#: How often it is looked whether a browser that is behind takes anything.
_LOOK_EVERY_S = 0.05
#: Half of what Linux then sets aside, for its own bookkeeping.
_KERNEL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HubLimits:
    """What one browser may cost."""

    queued_frames: int = 256
    queued_bytes: int = 256 * 1024
    subscriptions: int = 64
    connections: int = 32  #: of one account: a person has some windows, another system some sockets
    messages_at_once: int = 200  #: what a browser may say at once ...
    messages_a_second: float = 20.0  #: ... and then in each second
    stalled_s: float = 0.8  #: a browser that takes not a byte of what waits for so long is thrown out
    snapshot_shared_s: float = 1.0  #: a snapshot after which nothing changed is sent to others for so long
    ticket_s: float = 30.0
    message_max_bytes: int = 4096
    heartbeat_s: float = 20.0


class Stalled(Exception):
    """The browser takes nothing of what is sent."""


class Connection:
    """What is still to be sent to one browser."""

    def __init__(self, person: Person, limits: HubLimits) -> None:
        self.person = person
        self.topics: dict[str, list[tuple[int, bytes]] | None] = {}
        """What it follows: deltas held back, with their seq, until the snapshot is out; None: flowing."""
        self.close_code: int | None = None
        self._wake = asyncio.Event()
        self._limits = limits
        self.allowance = Allowance(limits.messages_at_once, limits.messages_a_second)
        self._frames: deque[bytes] = deque()
        self._bytes = 0

    def offer(self, frame: bytes) -> None:
        """Queue a frame; when too much waits already, it ends the connection instead."""
        if self.close_code is not None:
            return
        if len(self._frames) >= self._limits.queued_frames or self._bytes >= self._limits.queued_bytes:
            self.close(CLOSE_TOO_SLOW)
            return
        self._frames.append(frame)
        self._bytes += len(frame)
        self._wake.set()

    def offer_delta(self, topic: str, seq: int, frame: bytes) -> None:
        """Queue a delta, or hold it back while its topic's snapshot is being made."""
        held = self.topics.get(topic)
        if held is None:
            self.offer(frame)
        elif len(held) < self._limits.queued_frames:
            held.append((seq, frame))
        else:
            self.close(CLOSE_TOO_SLOW)

    def close(self, code: int) -> None:
        """Send nothing more; end with this code."""
        if self.close_code is None:
            self.close_code = code
        self._frames.clear()
        self._bytes = 0
        self._wake.set()

    def take(self) -> bytes | None:
        """The next frame to send, if there is one."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame

    def response(self) -> web.WebSocketResponse:
        """The answer to the browser's request, to be prepared and given to :meth:`send`."""
        return web.WebSocketResponse(
            timeout=self._limits.stalled_s,  # for the browser's answer to our close
            heartbeat=self._limits.heartbeat_s,
            max_msg_size=self._limits.message_max_bytes,
            compress=False,
            writer_limit=self._limits.queued_bytes * 1024,  # it is send() that waits for the browser
        )

    async def send(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        """Send what is offered until closed, then close; the browser's end of it may be gone at any time."""
        transport = request.transport
        if transport is None:
            return
        transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, _KERNEL_BYTES)
        try:
            while self.close_code is None:
                frame = self.take()
                if frame is None:
                    self._wake.clear()
                    await self._wake.wait()
                    continue
                await socket.send_frame(frame, WSMsgType.TEXT)
                if transport.get_write_buffer_size():
                    await self._taken(transport)
            if self.close_code == CLOSE_TOO_SLOW:
                log.warning("websocket_too_slow", login=self.person.login)
            async with asyncio.timeout(self._limits.stalled_s):
                await socket.close(code=self.close_code)
        except Stalled:
            self.close(CLOSE_TOO_SLOW)
            log.warning("websocket_stalled", login=self.person.login, waiting_bytes=transport.get_write_buffer_size())
        except (TimeoutError, ConnectionError):
            self.close(CLOSE_GOING_AWAY)
        finally:
            if transport.get_write_buffer_size():
                transport.abort()  # what it does not take will never be read: give its memory back now

    async def _taken(self, transport: asyncio.WriteTransport) -> None:
        """Wait until the kernel has all that was sent. Raises Stalled."""
        now = asyncio.get_running_loop().time
        waiting, since = transport.get_write_buffer_size(), now()
        while waiting and not transport.is_closing():
            await asyncio.sleep(_LOOK_EVERY_S)
            left = transport.get_write_buffer_size()
            if left < waiting:
                waiting, since = left, now()
            elif now() - since >= self._limits.stalled_s:
                raise Stalled
