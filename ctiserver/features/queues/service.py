"""How each queue stands now, from what the PBX says; for flows, the board and the API."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost
from ctiserver.model.events import (
    CallEnded,
    CallerEnteredQueue,
    CallerLeftQueue,
    CallsMerged,
    CallStarted,
    MemberChanged,
    PbxEvent,
)
from ctiserver.model.ids import CallId, Interface, PbxName, QueueName
from ctiserver.pbx.port import Pbx, current_events
from ctiserver.site.load import Site

log = structlog.get_logger(__name__)

#: Answered waits that the expected wait is the mean of.
_RECENT_WAITS = 20
_DRAIN_EVERY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """One queue now."""

    queue: QueueName
    waiting: int
    longest_since: datetime | None  #: since when the one who waits longest waits
    members: int
    agents_ready: int  #: members who are free, reachable and not paused
    expected_wait_s: int  #: mean of the last answered waits; 0 while nobody waits and somebody is ready


@dataclass(slots=True)
class _Queue:
    entered: dict[tuple[PbxName, CallId], datetime] = field(default_factory=dict)
    members: dict[tuple[PbxName, Interface], MemberChanged] = field(default_factory=dict)
    waits_ms: deque[int] = field(default_factory=lambda: deque(maxlen=_RECENT_WAITS))


class Queues:
    """Every queue of the site, and those of an adopted PBX."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        site: Site,
        *,
        pbxs: Mapping[PbxName, Pbx],
        closed: Callable[[str, datetime], bool],
        changed: Callable[[QueueState], object],
    ) -> None:
        """``closed`` says whether a calendar is closed then. ``changed`` is told of each new state, at once; it must
        not wait."""
        self._bus = bus
        self._clock = clock
        self._site = site
        self._pbxs = pbxs
        self._closed = closed
        self._changed = changed
        self._channels: dict[tuple[PbxName, CallId], str] = {}
        self._queues: dict[QueueName, _Queue] = {QueueName(name): _Queue() for name in site.queues}

    async def run(self) -> None:
        """Follow the bus until it closes."""
        await self._bus.follow("queues", (PbxEvent,), self.heard, self.resync)

    def states(self) -> list[QueueState]:
        """All queues, by name."""
        return [self.state(name) for name in sorted(self._queues)]

    def state(self, name: QueueName) -> QueueState:
        """One queue; a queue that nothing is known of is empty."""
        queue = self._queues.get(name, _Queue())
        ready = sum(1 for member in queue.members.values() if member.status == "free" and not member.paused)
        mean_ms = sum(queue.waits_ms) / len(queue.waits_ms) if queue.waits_ms else 0
        return QueueState(
            queue=name,
            waiting=len(queue.entered),
            longest_since=min(queue.entered.values(), default=None),
            members=len(queue.members),
            agents_ready=ready,
            expected_wait_s=0 if ready > len(queue.entered) else round(mean_ms / 1000),
        )

    async def drain(self) -> None:
        """Take out, until cancelled, who still waits when a queue has been closed for as long as it drains."""
        while True:
            for name in self._site.queues:
                await self._bus.take_in("queue-closing", QueueName(name), self.drain_now)
            await asyncio.sleep(_DRAIN_EVERY_S)

    async def drain_now(self, name: QueueName) -> None:
        """Take everybody out of a queue whose time is over; their flows go on as ``closing.then`` says."""
        config = self._site.queues[name]
        now = self._clock.now()
        if config.calendar is None or not self._closed(config.calendar, now):
            return
        if not self._closed(config.calendar, now - config.closing.drain_until):
            return
        for pbx, call in list(self._of(name).entered):
            channel = self._channels.get((pbx, call))
            if channel is None:
                continue
            try:
                await self._pbxs[pbx].queue_withdraw(name, channel)
            except (PeerLost, DeadlineExceeded, PbxRefused) as error:
                log.warning("queue_not_drained", queue=name, pbx=pbx, reason=str(error))

    def resync(self) -> None:
        """Take who waits and who is a member from the links to the PBXs. The waits that have ended are kept."""
        self._channels.clear()
        for queue in self._queues.values():
            queue.entered.clear()
            queue.members.clear()
        for event in current_events(self._pbxs.values()):
            self._take_in(event)
        for state in self.states():
            self._changed(state)

    def heard(self, event: PbxEvent) -> None:
        """Take in one event of a PBX."""
        for name in self._take_in(event):
            self._changed(self.state(name))

    def _take_in(self, event: PbxEvent) -> list[QueueName]:
        """The queues whose state may have changed."""
        match event:
            case CallStarted():
                self._channels[event.pbx, event.call_id] = event.channel
            case CallerEnteredQueue():
                self._of(event.queue).entered[event.pbx, event.call_id] = event.at
                return [event.queue]
            case CallerLeftQueue():
                queue = self._of(event.queue)
                queue.entered.pop((event.pbx, event.call_id), None)
                if event.outcome == "answered" and event.wait_ms is not None:
                    queue.waits_ms.append(event.wait_ms)
                return [event.queue]
            case CallEnded():
                return self._gone((event.pbx, event.call_id))
            case CallsMerged():
                return self._gone((event.pbx, event.absorbed))
            case MemberChanged():
                queue = self._of(event.queue)
                if event.present:
                    queue.members[event.pbx, event.interface] = event
                else:
                    queue.members.pop((event.pbx, event.interface), None)
                return [event.queue]
            case _:
                pass
        return []

    def _of(self, name: QueueName) -> _Queue:
        return self._queues.setdefault(name, _Queue())

    def _gone(self, caller: tuple[PbxName, CallId]) -> list[QueueName]:
        """A call that ended waits nowhere, whatever message of it was lost."""
        self._channels.pop(caller, None)
        return [name for name, queue in self._queues.items() if queue.entered.pop(caller, None) is not None]
