"""Use cases of an agent's phone: hand a call on, ask somebody first, call out. Done by AMI, for any phone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from ctiserver.bus import Bus, Lagged
from ctiserver.errors import UserFault
from ctiserver.model.events import CallEvent, CallsMerged
from ctiserver.model.ids import AgentId, CallId
from ctiserver.model.numbers import dialable
from ctiserver.model.person import Agent
from ctiserver.model.tracking.standing import Standing
from ctiserver.pbx.port import Pbx
from ctiserver.site import Site
from ctiserver.web.problems import Conflict

log = structlog.get_logger(__name__)

#: Contexts and keys of dialplan/cti.conf and features.conf.
AGENTS, QUEUES, CONSULT = "cti-agents", "cti-queues", "cti-consult"
JOIN_KEYS = "*3"  #: atxferthreeway

Doing = Literal["ringing", "talking", "consulting", "conference"]


class NotDiallable(UserFault):
    """This number may not be called."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a call goes to."""

    kind: Literal["agent", "queue", "number"]
    key: str


@dataclass(frozen=True, slots=True)
class Place:
    """A target as the dialplan has it."""

    context: str
    exten: str


@dataclass(frozen=True, slots=True)
class PhoneCall:
    """What an agent's phone does in a call."""

    call_id: CallId
    doing: Doing
    parties: int  #: others in the room with it
    waiting: int  #: others of the call who wait elsewhere


class Telephony:
    """What agents' phones do, on the PBX that has them."""

    def __init__(
        self,
        bus: Bus,
        site: Site,
        *,
        pbx: Pbx,
        region: str,
        outbound_context: str,
        agents: Callable[[], list[Agent]],
        changed: Callable[[AgentId, PhoneCall | None], None],
    ) -> None:
        """``changed`` is told what an agent's phone does, whenever that may have changed; it must not wait."""
        self._bus = bus
        self._site = site
        self._pbx = pbx
        self._region = region
        self._outbound_context = outbound_context
        self._agents = agents
        self._changed = changed
        self._told: dict[AgentId, PhoneCall] = {}

    async def run(self) -> None:
        """Tell each desk what its phone does, until the bus closes."""
        with self._bus.subscribe(CallEvent) as events:
            while True:
                try:
                    async for event in events:
                        if event.pbx == self._pbx.name:
                            self._heard(event)
                    return
                except Lagged:
                    for agent in self._agents():
                        self._look(agent)

    @property
    def outbound(self) -> bool:
        """Whether calls to outside may be made at all."""
        return bool(self._site.outbound.allow)

    def agent(self, agent_id: AgentId) -> Agent:
        """Raises UserFault if there is no such agent."""
        for agent in self._agents():
            if agent.id == agent_id:
                return agent
        raise UserFault(f"there is no agent {agent_id}", fix="`ctiserver user list` shows them")

    def call(self, agent_id: AgentId) -> PhoneCall | None:
        """What the agent's phone does now."""
        standing = self._standing(agent_id)
        return None if standing is None else _phone_call(standing)

    async def hang_up(self, agent_id: AgentId) -> None:
        """End the agent's part of the call. Raises Conflict without one; PeerLost, DeadlineExceeded, PbxRefused."""
        await self._pbx.hangup(self._needed(agent_id).channel)

    async def transfer(self, agent_id: AgentId, to: Target) -> None:
        """Blind transfer. Raises Conflict without a talk, UserFault for a target that is none; PeerLost …"""
        standing, place = self._talk(agent_id), self._place(to)
        await self._pbx.blind_transfer(standing.channel, context=place.context, exten=place.exten)
        log.info("call_transferred", agent=agent_id, call_id=standing.call_id, to=to.kind)

    async def consult(self, agent_id: AgentId, to: Target) -> None:
        """Ask somebody while the caller hears music: an attended transfer begins. Errors as :meth:`transfer`."""
        standing = self._talk(agent_id)
        if to.kind == "queue":
            raise UserFault("a queue can't be asked first", fix="Transfer to it, or ask one agent")
        place = self._place(to)
        # The keys of a feature can be pressed for digits alone, so where they lead is said beforehand.
        await self._pbx.set_variable(standing.channel, "__CTI_CONSULT", f"{place.context},{place.exten},1")
        await self._pbx.attended_transfer(standing.channel, context=CONSULT, exten="1")

    async def complete(self, agent_id: AgentId) -> None:
        """Put the one who waits through to the one who was asked. Raises Conflict if nobody waits; PeerLost …"""
        await self._pbx.hangup(self._consultation(agent_id).channel)

    async def cancel(self, agent_id: AgentId) -> None:
        """Back to the one who waits. Raises Conflict if nobody waits; PeerLost …"""
        await self._pbx.cancel_transfer(self._consultation(agent_id).channel)

    async def join(self, agent_id: AgentId) -> None:
        """All three talk. Raises Conflict if nobody waits; PeerLost …"""
        await self._pbx.press(self._consultation(agent_id).channel, JOIN_KEYS)

    def _place(self, to: Target) -> Place:
        match to.kind:
            case "agent":
                return Place(AGENTS, self.agent(AgentId(to.key)).extension)
            case "queue":
                if to.key not in self._site.queues:
                    raise UserFault(f"there is no queue {to.key}", where="queues.yaml", fix="Add it there")
                return Place(QUEUES, to.key)
            case "number":
                return Place(self._outbound_context, self.dialable(to.key))

    def dialable(self, number: str) -> str:
        """The number as it is dialled. Raises NotDiallable."""
        rules = self._site.outbound
        found = dialable(number, self._region, allow=rules.allow, refuse=rules.refuse)
        if found is None:
            raise NotDiallable(
                "this number may not be called", where="dialling.yaml", fix="Allow numbers that begin like it there"
            )
        return found

    def _standing(self, agent_id: AgentId) -> Standing | None:
        return next(iter(self._pbx.standings(self.agent(agent_id).interface)), None)

    def _needed(self, agent_id: AgentId) -> Standing:
        standing = self._standing(agent_id)
        if standing is None:
            raise Conflict("your phone is in no call")
        return standing

    def _talk(self, agent_id: AgentId) -> Standing:
        standing = self._needed(agent_id)
        if not standing.others:
            raise Conflict("nobody is on the line with you")
        return standing

    def _consultation(self, agent_id: AgentId) -> Standing:
        standing = self._needed(agent_id)
        if not standing.waiting:
            raise Conflict("nobody is waiting: you are asking no one")
        return standing

    def _heard(self, event: CallEvent) -> None:
        calls = {event.call_id, event.absorbed} if isinstance(event, CallsMerged) else {event.call_id}
        interface = getattr(event, "interface", None)
        for agent in self._agents():
            told = self._told.get(agent.id)
            if agent.interface == interface or (told is not None and told.call_id in calls):
                self._look(agent)

    def _look(self, agent: Agent) -> None:
        now = self.call(agent.id)
        if now == self._told.get(agent.id):
            return
        if now is None:
            del self._told[agent.id]
        else:
            self._told[agent.id] = now
        self._changed(agent.id, now)


def _phone_call(standing: Standing) -> PhoneCall:
    doing: Doing = "ringing"
    if standing.talking:
        doing = "talking"
        if standing.waiting:
            doing = "consulting"
        elif len(standing.others) > 1:
            doing = "conference"
    return PhoneCall(standing.call_id, doing, len(standing.others), len(standing.waiting))
