"""A link to a real Asterisk, and what it published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.model.events import CallEnded, CallSummary, PbxEvent
from ctiserver.model.ids import PbxName
from ctiserver.pbx.link import PbxLink
from ctiserver.settings import PbxSettings


@dataclass
class Tracked:
    """What the link has said since the test began."""

    link: PbxLink
    pbx: PrivatePbx
    events: list[PbxEvent] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, good: Callable[[list[PbxEvent]], bool], within_s: float = 30.0) -> None:
        """Wait for events that make ``good`` true of all that came."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: good(self.events))

    async def ended(self, calls: int = 1) -> list[CallSummary]:
        """The summaries of the first so many calls that ended, once no call is left; in order of their beginning."""
        await self.until(lambda events: sum(isinstance(event, CallEnded) for event in events) >= calls)
        found = [event.summary for event in self.events if isinstance(event, CallEnded)]
        assert self.link.calls() == []
        assert self.link.counters() == {"unparsable": 0, "refused": 0, "broken": 0, "ignored": 0}
        return sorted(found, key=lambda call: str(call.started_at))

    async def listen(self, bus: Bus) -> None:
        with bus.subscribe(PbxEvent) as subscription:
            async for event in subscription:
                async with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()


@asynccontextmanager
async def tracked(pbx: PrivatePbx) -> AsyncIterator[Tracked]:
    """A link that is up, and a listener."""
    bus = Bus()
    settings = PbxSettings(host=pbx.ami_host, port=pbx.ami_port, username=pbx.ami_username, secret=pbx.ami_secret)  # type: ignore[arg-type]
    seen = Tracked(PbxLink(PbxName("main"), settings, bus, SystemClock()), pbx)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(seen.listen(bus)), group.create_task(seen.link.run())]
        try:
            async with asyncio.timeout(10):
                await seen.link.ready()
            yield seen
        finally:
            for task in tasks:
                task.cancel()
