"""Use cases of agents: log in to the queues, pause, wrap up; and one presence that follows from what the PBXs say.

app_queue is who offers calls, so the truth about seats and pauses is Asterisk's: a use case asks the PBX that has the
agent's phone, and the presence follows from what it then tells. After-call work, which app_queue does not know, is a
pause whose reason is ``wrap_up``; it is in app_queue, so a server that was killed meanwhile finds it there again, and
in the database until when it was to last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta

import structlog

from ctiserver.bus import Bus
from ctiserver.clock import Clock
from ctiserver.errors import CtiError, UserFault
from ctiserver.features.agents.orders import Orders, Pause, QueueMembership
from ctiserver.features.agents.presences import WRAP_UP, Presences
from ctiserver.features.agents.seating import Seating
from ctiserver.model import agent as presence_of
from ctiserver.model.agent import Presence
from ctiserver.model.events import PbxEvent
from ctiserver.model.ids import AgentId, Interface, PbxName, QueueName
from ctiserver.model.person import Agent
from ctiserver.pbx.port import Pbx
from ctiserver.pbx.trouble import TroubleKind
from ctiserver.site.files import QueueConfig
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.store.faults import StoreUnavailable

log = structlog.get_logger(__name__)


class Agents:
    """Everybody who takes calls, on every PBX."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        clock: Clock,
        site: Site,
        *,
        pbxs: Mapping[PbxName, Pbx],
        changed: Callable[[Presence], None],
    ) -> None:
        """``pbxs``: the first is that of agents who name none. ``changed`` is told of each new presence, at once; it
        must not wait."""
        self._database = database
        self._bus = bus
        self._site = site
        self._pbxs = pbxs
        self._seating = Seating(next(iter(pbxs)))
        self._orders = Orders(pbx_of=self._pbx_for, due=self._due, pause=self._pause, seated=self._given)
        self._presences = Presences(clock, site, self._seating, self._orders, changed)
        self._loaded = False

    async def run(self) -> None:
        """Keep presences from the bus' events, and end wrap-ups in time, until the bus closes."""
        async with asyncio.TaskGroup() as group:
            keepers: list[asyncio.Task[None]] = []

            # Once subscribed: a link that is up before the database has answered tells of every seat, and only once.
            async def begin() -> None:
                for name, pbx in self._pbxs.items():
                    if not pbx.up:
                        self._presences.unheard(name)
                await self.load()
                keepers.extend(
                    group.create_task(keeper())
                    for keeper in (self._orders.run, self._presences.keep_deadlines, self._keep_wrap_ups)
                )

            await self._bus.follow("agents", (PbxEvent,), self._presences.heard, self._resync, begin=begin)
            for keeper in keepers:
                keeper.cancel()

    def _given(self, membership: QueueMembership) -> None:
        self._presences.seated(membership)

    def _resync(self) -> None:
        self._presences.resync(self._pbxs)

    async def load(self) -> None:
        """Read who the agents are; those known already keep their presence, the others get it from their seats."""
        async with self._database.reading() as uow:
            found = await uow.agents.everybody()
            kept = [] if self._loaded else await uow.wrap_ups.everybody()
        self._loaded = True
        self._presences.found_kept(kept)
        self._presences.begin(self._seating.know(agent for agent in found if agent.active))

    def pbx_of(self, agent_id: AgentId) -> PbxName:
        """On which PBX the agent's phone is. Raises UserFault if there is no such agent."""
        self.presence(agent_id)
        return self._seating.pbx_of(agent_id)

    def pbx_up(self, agent_id: AgentId) -> bool:
        """Whether the agent's PBX is heard; while it is not, the presence is what it was."""
        pbx = self._pbx_for(agent_id)
        return pbx is not None and pbx.up

    def pbx_trouble(self, agent_id: AgentId) -> TroubleKind | None:
        """What is wrong with the agent's PBX, whether it is heard or not; None: nothing is known to be."""
        pbx = self._pbx_for(agent_id)
        return None if pbx is None or pbx.trouble is None else pbx.trouble.kind

    def agent_at(self, pbx: PbxName, interface: Interface) -> AgentId | None:
        """Whose phone this is; on another PBX a phone of the same name is somebody else's."""
        return self._seating.whose(pbx, interface)

    def interface_on(self, agent_id: AgentId, pbx: PbxName) -> Interface | None:
        """The phone of an agent who is logged in on ``pbx``. None for anyone else: on another PBX a phone of that name
        is somebody else's."""
        agent = self._seating.agents.get(agent_id)
        if agent is None or not self._presences[agent_id].logged_in or self._seating.pbx_of(agent_id) != pbx:
            return None
        return agent.interface

    def owner(self, interface: Interface) -> AgentId | None:
        """Whose phone this is on the first PBX."""
        return self._seating.whose(self._seating.first, interface)

    def presence(self, agent_id: AgentId) -> Presence:
        """One agent's presence. Raises UserFault if there is no such agent."""
        if agent_id not in self._seating.agents:
            raise UserFault(f"there is no agent {agent_id}", fix="`ctiserver user list` shows them")
        return self._presences[agent_id]

    def everybody(self) -> list[tuple[Agent, Presence]]:
        """All agents with their presence, by id."""
        agents = self._seating.agents
        return [(agents[key], self._presences[key]) for key in sorted(agents)]

    def queues(self, agent_id: AgentId) -> list[QueueName]:
        """The queues in which the agent sits now."""
        return sorted({seat.queue for seat in self._seating.of(agent_id)})

    def queues_for(self, agent: Agent) -> dict[QueueName, int]:
        """The queues that the agent's name or skills are asked for in, each with the penalty."""
        return {
            QueueName(name): _penalty(queue, agent) for name, queue in self._site.queues.items() if _fits(queue, agent)
        }

    def wrap_up_extension(self, agent_id: AgentId) -> timedelta:
        """What an extension would give now; zero if there is none to be had."""
        presence = self.presence(agent_id)
        if presence.wrap_up_until is None or presence.wrap_up_extended:
            return timedelta(0)
        return self._presences.policy(agent_id).extend_once

    async def log_in(self, agent_id: AgentId) -> Presence:
        """Take seats in all queues that fit. Raises UserFault if none fits; PeerLost, DeadlineExceeded, PbxRefused."""
        try:
            await self.load()
        except StoreUnavailable as error:  # a shift that begins meanwhile is to take calls, as it was known last
            log.warning("agents_not_read", reason=str(error))
        agent, pbx = self._agent_and_pbx(agent_id)
        queues = self.queues_for(agent)
        if not queues:
            raise UserFault(
                f"no queue asks for {agent_id} or any of the skills {', '.join(agent.skills) or '(none)'}",
                where="queues.yaml",
                fix="Name the agent or a skill under members there, or give the account a skill",
            )
        seated = {seat.queue for seat in self._seating.of(agent_id) if seat.interface != agent.interface}
        for queue, penalty in queues.items():
            if queue in seated:
                continue  # by a Local channel: a second seat would ring the same phone twice
            await pbx.queue_add(queue, agent.interface, name=agent.name, penalty=penalty)
            self._presences.seated(QueueMembership(agent_id, queue, agent.interface, agent.name, penalty))
        return self._presences.step(agent_id, presence_of.LoggedIn())

    async def log_out(self, agent_id: AgentId) -> Presence:
        """Leave all queues; a call under way goes on.

        Raises UserFault for a seat that queues.conf itself gives; PeerLost, DeadlineExceeded, PbxRefused.
        """
        agent, pbx = self._agent_and_pbx(agent_id)
        seats = self._seating.of(agent_id)
        fixed = sorted(seat.queue for seat in seats if not seat.dynamic)
        if fixed:
            raise UserFault(
                f"the phone is a static member of {', '.join(fixed)} at the PBX, so it can't be logged out",
                where="queues.conf",
                fix="Pause instead; or take the member out there, and log in here",
            )
        leaving = {(seat.queue, seat.interface) for seat in seats}
        leaving |= {(queue, agent.interface) for queue in self.queues_for(agent)}
        for queue, interface in sorted(leaving):
            await pbx.queue_remove(queue, interface)
        self._orders.settled(agent_id)
        self._presences.left(agent_id)
        return self._presences.step(agent_id, presence_of.LoggedOut())

    async def pause(self, agent_id: AgentId, reason: str) -> Presence:
        """Take no calls for a while. Raises UserFault for an unknown reason or when logged out; PeerLost …"""
        if reason not in self._site.pause_reasons:
            raise UserFault(f"there is no pause reason {reason}", where="pause_reasons.yaml", fix="Add it there")
        if not self.presence(agent_id).logged_in:
            raise UserFault("log in to the queues first: an agent who is logged out gets no calls")
        await self._pause(Pause(agent_id, True, reason))
        self._orders.settled(agent_id)
        return self._presences.step(agent_id, presence_of.WrapUpEnded(), presence_of.Paused(reason))

    async def ready(self, agent_id: AgentId) -> Presence:
        """Take calls again: ends a pause, and after-call work. Raises UserFault when logged out; PeerLost …"""
        if not self.presence(agent_id).logged_in:
            raise UserFault("log in to the queues first")
        await self._pause(Pause(agent_id, False, ""))
        self._orders.settled(agent_id)
        return self._presences.step(agent_id, presence_of.WrapUpEnded(), presence_of.Unpaused())

    def extend_wrap_up(self, agent_id: AgentId) -> Presence:
        """More time after the call, once, as the queue allows. Raises UserFault if there is none to be had."""
        more = self.wrap_up_extension(agent_id)
        until = self.presence(agent_id).wrap_up_until
        if not more or until is None:
            raise UserFault("there is no after-call work to extend, or it was extended once already")
        return self._presences.step(agent_id, presence_of.WrapUpExtended(until + more))

    def _due(self, order: Pause) -> bool:
        return self._presences.due(order)

    def _pbx_for(self, agent_id: AgentId) -> Pbx | None:
        return self._pbxs.get(self._seating.pbx_of(agent_id)) if agent_id in self._seating.agents else None

    def _agent_and_pbx(self, agent_id: AgentId) -> tuple[Agent, Pbx]:
        self.presence(agent_id)
        pbx = self._pbx_for(agent_id)
        if pbx is None:
            raise UserFault(
                f"the phone of {agent_id} is on the PBX {self._seating.pbx_of(agent_id)}, which is not named",
                where="ctiserver.yaml: pbxs",
                fix="Name it there, or give the agent a phone on another one",
            )
        return self._seating.agents[agent_id], pbx

    async def _pause(self, order: Pause) -> None:
        """Pause or unpause the agent wherever they sit. Raises PeerLost, DeadlineExceeded, PbxRefused."""
        agent, pbx = self._agent_and_pbx(order.agent_id)
        names = {seat.interface for seat in self._seating.of(order.agent_id)} or {agent.interface}
        for name in sorted(names):
            await pbx.queue_pause(name, paused=order.paused, reason=order.reason)
            # Nobody but us ends after-call work. The fallback lets it be over at this time, should we be gone then.
            await pbx.set_global(f"CTI_WRAP_UP_{name}", self._over_at(order))

    def _over_at(self, order: Pause) -> str:
        """When a pause ends by itself, in seconds since 1970; 0: when the agent says so."""
        until = self.presence(order.agent_id).wrap_up_until
        return str(int(until.timestamp())) if until is not None and order.reason == WRAP_UP else "0"

    async def _keep_wrap_ups(self) -> None:
        """Write down until when after-call work lasts; beside the order to pause, which must not wait for a disk."""
        while True:
            wrap_ups = await self._presences.to_keep()
            try:
                async with self._database.unit_of_work() as uow:
                    for wrap_up in wrap_ups:
                        await uow.wrap_ups.keep(wrap_up)
            except CtiError as error:  # the database is away, or refuses one of them; after-call work ends all the same
                log.error("wrap_ups_not_kept", agents=len(wrap_ups), error=str(error))


def _fits(queue: QueueConfig, agent: Agent) -> bool:
    return agent.id in queue.members.agents or bool(set(queue.members.skills) & set(agent.skills))


def _penalty(queue: QueueConfig, agent: Agent) -> int:
    """The agent's own, else the least of the skills that make it a member."""
    penalties = queue.members.penalties
    if agent.id in penalties:
        return penalties[agent.id]
    return min((penalties.get(skill, 0) for skill in queue.members.skills if skill in agent.skills), default=0)
