"""An ear of the drill's own at the PBX's manager interface, which shares nothing with the server's link."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from ctiserver.errors import CtiError, PeerLost
from ctiserver.lab.drill.stories import WANTED, Stage, Stories
from ctiserver.lab.privatepbx import ami
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx

_RETRY_S = 0.05


class NotSeen(CtiError):
    """What the drill waited for did not happen on the PBX."""


class Witness:
    """Listens, over the PBX's restarts too."""

    def __init__(self, pbx: PrivatePbx) -> None:
        self._pbx = pbx
        self._changed = asyncio.Condition()
        self.stories = Stories()
        self.booted: list[float] = []  #: when the PBX said FullyBooted to us

    async def until(self, good: Callable[[Stories], bool], what: str, within_s: float) -> None:
        """Wait until ``good``. Raises NotSeen."""
        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(lambda: good(self.stories))
        except TimeoutError:
            raise NotSeen(f"{what}: not within {within_s:.0f} s; now {self.now()}") from None

    def now(self) -> dict[Stage, int]:
        """How many callers are where."""
        alive = list(self.stories.alive(time.time()).values())
        return {stage: alive.count(stage) for stage in sorted(set(alive))}

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(OSError, PeerLost):
                await self._session()
            await asyncio.sleep(_RETRY_S)

    async def _session(self) -> None:
        pbx = self._pbx
        async with ami.session(pbx.ami_host, pbx.ami_port, pbx.ami_username, pbx.ami_secret) as (reader, seen):
            while True:
                for block in seen.split(b"\r\n\r\n"):
                    await self._heard(block)
                seen = await reader.readuntil(b"\r\n\r\n")

    async def _heard(self, block: bytes) -> None:
        if not block.startswith(b"Event: "):
            return
        lines = block.decode("utf-8", "replace").split("\r\n")
        event = {key: value for key, _, value in (line.partition(": ") for line in lines)}
        if event["Event"] not in WANTED:
            return
        async with self._changed:
            if event["Event"] == "FullyBooted":
                self.booted.append(time.time())
            else:
                self.stories.take(event, float(event.get("Timestamp") or time.time()))
            self._changed.notify_all()

    async def pbx_died(self) -> None:
        """Its calls are over, though nobody says so."""
        async with self._changed:
            self.stories.all_gone(time.time())
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def witness(pbx: PrivatePbx) -> AsyncIterator[Witness]:
    """A witness for the length of the block."""
    ear = Witness(pbx)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(ear._listen(), name="drill-witness")
        try:
            yield ear
        finally:
            task.cancel()
