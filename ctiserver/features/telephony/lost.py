"""Talks whose page is lost: the caller hears music at once, and is the same agent's again if the page is soon back.

The dialplan keeps the time (``[cti-lost]``): a caller whose agent does not come back goes to the head of the queue,
whether this server is there or not.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import DeadlineExceeded, PbxRefused, PeerLost
from ctiserver.features.telephony.phones import Phones
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.events import CallEnded, CallerEnteredQueue, CallEvent
from ctiserver.model.ids import AgentId, CallId, new_ulid
from ctiserver.web.problems import Conflict

log = structlog.get_logger(__name__)

CONTEXT = "cti-lost"
#: How soon it is tried again to hold a caller when the PBX could not be told.
_AGAIN_S = 1.0
#: More agents than this can't lose their pages in one moment and be waited for.
_LONGEST_LIST = 1000


@dataclass(frozen=True, slots=True)
class LostTalk:
    """A caller who waits for an agent's page."""

    call_id: CallId
    channel: str
    token: str  #: by which the page knows the call that brings him back


class LostTalks:
    """Who waits for whose page."""

    def __init__(self, bus: Bus, clock: Clock, phones: Phones) -> None:
        self._bus = bus
        self._clock = clock
        self._phones = phones
        self._lost: dict[AgentId, LostTalk] = {}
        self._gone: asyncio.Queue[tuple[AgentId, str | None]] = asyncio.Queue(maxsize=_LONGEST_LIST)

    def page_lost(self, agent_id: AgentId) -> None:
        """An agent's last line is gone. Never waits."""
        self._to_be_held(agent_id)

    def _to_be_held(self, agent_id: AgentId, channel: str | None = None) -> None:
        try:
            self._gone.put_nowait((agent_id, channel))
        except asyncio.QueueFull:
            log.error("lost_page_dropped", agent=agent_id)

    async def run(self) -> None:
        """Hold callers whose page is lost, and forget those who went on, until the bus closes."""
        async with asyncio.TaskGroup() as group:
            holding = group.create_task(self._hold_all())
            await self._forget_those_gone()
            holding.cancel()

    async def _hold_all(self) -> None:
        while True:
            gone = await self._gone.get()
            await self._bus.take_in("lost-talks", gone, self._hold_one)

    async def _hold_one(self, gone: tuple[AgentId, str | None]) -> None:
        agent_id, channel = gone
        standing = self._phones.standing(self._phones.agent(agent_id))
        if standing is None or channel not in (None, standing.channel):
            return  # it was not in a call, or has another one by now
        try:
            await self._hold(agent_id, standing)
        except (PeerLost, DeadlineExceeded) as error:
            # The PBX keeps the caller with a page that is gone, in silence, until we tell it otherwise.
            log.warning("lost_talk_not_held_yet", agent=agent_id, reason=str(error))
            asyncio.get_running_loop().call_later(_AGAIN_S, self._to_be_held, agent_id, standing.channel)
        except PbxRefused as error:
            log.error("lost_talk_not_held", agent=agent_id, reason=str(error))

    async def _forget_those_gone(self) -> None:
        # Better to lose one's place than to be torn from another agent's ear.
        await self._bus.follow("lost-talks", (CallEnded, CallerEnteredQueue), self._forget, self._lost.clear)

    def _forget(self, event: CallEvent) -> None:
        for key in [key for key, talk in self._lost.items() if talk.call_id == event.call_id]:
            del self._lost[key]

    def waiting_for(self, agent_id: AgentId) -> str | None:
        """The token of the talk that waits for this agent's page, if one does."""
        talk = self._lost.get(agent_id)
        return None if talk is None else talk.token

    async def resume(self, agent_id: AgentId) -> None:
        """Ring the agent for the one who waits. Raises Conflict if nobody does; PeerLost, DeadlineExceeded."""
        talk = self._lost.pop(agent_id, None)
        if talk is None:
            raise Conflict("no caller is waiting for your page any more")
        pbx = self._phones.pbx(self._phones.agent(agent_id))
        try:
            await pbx.redirect(talk.channel, context=CONTEXT, exten="back")
        except PbxRefused:
            raise Conflict("the caller has hung up") from None
        log.info("lost_talk_resumed", agent=agent_id, call_id=talk.call_id)

    async def _hold(self, agent_id: AgentId, standing: ChannelState) -> None:
        agent = self._phones.agent(agent_id)
        pbx = self._phones.pbx(agent)
        if len(standing.others) != 1 or standing.waiting:
            # It rings, and another phone shall; or others are in the room, or one waits for the one who is asked:
            # without this agent they are with each other.
            await pbx.hangup(standing.channel)
            return
        (caller,) = standing.others
        token = new_ulid(self._clock.now())
        await pbx.set_variable(caller, "CTI_BACK", agent.interface)
        await pbx.set_variable(caller, "__CTI_ANSWER", token)
        self._lost[agent_id] = LostTalk(standing.call_id, caller, token)
        await pbx.redirect(caller, context=CONTEXT, exten="s")
        log.info("lost_talk_held", agent=agent_id, call_id=standing.call_id)
