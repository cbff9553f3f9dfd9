"""What one browser may cost: how much waits for it, and for how long it is waited for."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import WSMsgType

from ctiserver.model.ids import UserId
from ctiserver.web.access import Person
from ctiserver.web.connection import CLOSE_RESTART, CLOSE_TOO_SLOW, Connection, HubLimits

PERSON = Person(user_id=UserId("U"), login="u", name="U", role="agent", language="en", agent_id=None)
LIMITS = HubLimits(stalled_s=0.3, queued_bytes=1000)


class Pipe:
    """A socket, its transport and its request in one; the far side takes ``takes`` bytes each time somebody looks.

    Once the frame ``last`` went out the server closes the connection.
    """

    def __init__(self, takes: int) -> None:
        self.connection = Connection(PERSON, LIMITS)
        self.said: list[str] = []
        self.transport = self
        self._takes = takes
        self._waiting = 0

    async def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.connection.offer(frame)
        it: Any = self
        await asyncio.wait_for(self.connection.send(it, it), 10)

    async def send_frame(self, frame: bytes, _: WSMsgType) -> None:
        self.said.append(frame.decode())
        self._waiting += len(frame)
        if frame == b"last":
            self.connection.close(CLOSE_RESTART)

    def get_write_buffer_size(self) -> int:
        self._waiting = max(0, self._waiting - self._takes)
        return self._waiting

    async def close(self, *, code: int) -> None:
        self.said.append(f"close {code}")

    def abort(self) -> None:
        self.said.append("abort")

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _: str) -> Pipe:
        return self

    def setsockopt(self, *_: int) -> None:
        """Its buffer is what it is."""


async def test_who_takes_nothing_is_out_without_another_word() -> None:
    pipe = Pipe(takes=0)
    await pipe.send(b"first", b"last")
    assert pipe.said == ["first", "abort"]
    assert pipe.connection.close_code == CLOSE_TOO_SLOW


async def test_who_takes_little_is_borne_with() -> None:
    pipe = Pipe(takes=1)
    await pipe.send(b"a frame of twenty by", b"last")  # a byte a look: longer than who takes nothing is given
    assert pipe.said == ["a frame of twenty by", "last", f"close {CLOSE_RESTART}"]


async def test_what_waits_is_bounded_by_frames() -> None:
    connection = Connection(PERSON, LIMITS)
    for _ in range(LIMITS.queued_frames + 1):
        assert connection.close_code is None
        connection.offer(b"")
    assert connection.close_code == CLOSE_TOO_SLOW


async def test_what_waits_is_bounded_by_bytes_though_one_snapshot_may_be_large() -> None:
    connection = Connection(PERSON, LIMITS)
    for frame in (b"x" * 5 * LIMITS.queued_bytes, b"y"):
        assert connection.close_code is None
        connection.offer(frame)
    assert connection.close_code == CLOSE_TOO_SLOW
    assert connection.take() is None
