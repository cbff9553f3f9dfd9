"""What a supervisor does from the board: listen in, set an agent's state, move members. All of it is audited first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from ctiserver.clock import Clock
from ctiserver.errors import UserFault
from ctiserver.model.agent import Presence
from ctiserver.model.audit import AuditAct
from ctiserver.model.ids import MONITORING, AgentId, CallId, PbxName, QueueName, Uniqueid, new_ulid
from ctiserver.model.json_value import Json
from ctiserver.model.person import Agent
from ctiserver.pbx.port import Pbx
from ctiserver.site.load import Site
from ctiserver.store.database import Database
from ctiserver.web.access import Person
from ctiserver.web.problems import Conflict, NotFound

log = structlog.get_logger(__name__)

#: Where a supervisor's phone is sent, by dialplan/cti.conf: the extension is the mode.
CONTEXT = "cti-monitor"
Mode = Literal["listen", "whisper", "barge"]
Wish = Literal["logged_in", "logged_out", "ready", "paused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentActs:
    """What may be done to an agent's presence: use cases that the agents feature gives."""

    everybody: Callable[[], list[tuple[Agent, Presence]]]
    log_in: Callable[[AgentId], Awaitable[Presence]]
    log_out: Callable[[AgentId], Awaitable[Presence]]
    pause: Callable[[AgentId, str], Awaitable[Presence]]
    ready: Callable[[AgentId], Awaitable[Presence]]
    pbx_of: Callable[[AgentId], PbxName]  #: where their phone is


class Steering:
    """A supervisor's hand on agents, on the PBX that has their phones."""

    def __init__(
        self, database: Database, clock: Clock, site: Site, *, pbxs: Mapping[PbxName, Pbx], agents: AgentActs
    ) -> None:
        self._database = database
        self._clock = clock
        self._site = site
        self._pbxs = pbxs
        self._agents = agents

    def knows(self, agent_id: str) -> bool:
        """Whether there is such an agent."""
        return any(agent.id == agent_id for agent, _ in self._agents.everybody())

    async def monitor(self, by: Person, own_id: AgentId, agent_id: AgentId, mode: Mode, reason: str) -> CallId:
        """Let the supervisor's own phone join the agent's call; which call that is.

        Raises Conflict if the agent talks with nobody, or the supervisor's phone is in use; PeerLost,
        DeadlineExceeded, PbxRefused.
        """
        own, _ = self._agent(own_id)
        spied, _ = self._agent(agent_id)
        if own_id == agent_id:
            raise UserFault("this is your own call")
        if self._agents.pbx_of(own_id) != self._agents.pbx_of(agent_id):
            raise Conflict(f"{spied.name}'s phone is on another PBX than yours")
        pbx = self._pbx_of(agent_id)
        if pbx.standings(own.interface):
            raise Conflict("your own phone is in use")
        standing = next(iter(pbx.standings(spied.interface)), None)
        if standing is None or not standing.talking:
            raise Conflict(f"{spied.name} is not in a call")
        # Kept before it happens: nobody listens unseen because the disk was full a moment later.
        await self._note(
            by, "call_monitored", f"call:{standing.call_id}", {"agent": agent_id, "mode": mode, "reason": reason}
        )
        await pbx.originate(
            own.interface,
            channel_id=Uniqueid(f"{MONITORING}{new_ulid(self._clock.now())}"),
            context=CONTEXT,
            exten=mode,
            caller_number=spied.extension,
            variables={"CTI_SPY": standing.channel},
        )
        log.info("call_monitored", call_id=standing.call_id, agent=agent_id, mode=mode, by=by.login)
        return standing.call_id

    async def set_state(
        self, by: Person, agent_id: AgentId, wish: Wish, *, pause_reason: str = "", reason: str
    ) -> Presence:
        """Do for an agent what they could do at their own desk. Errors as the use cases of agents."""
        _, before = self._agent(agent_id)
        match wish:
            case "logged_in":
                after = await self._agents.log_in(agent_id)
            case "logged_out":
                after = await self._agents.log_out(agent_id)
            case "ready":
                after = await self._agents.ready(agent_id)
            case "paused":
                after = await self._agents.pause(agent_id, pause_reason)
        detail: dict[str, Json] = {"from": before.state, "to": wish, "reason": reason}
        if pause_reason:
            detail["pause_reason"] = pause_reason
        await self._note(by, "agent_state_set", f"agent:{agent_id}", detail)
        return after

    async def seat(self, by: Person, queue: QueueName, agent_id: AgentId, penalty: int) -> None:
        """Seat an agent in a queue till their next log-in. Raises NotFound, PeerLost, DeadlineExceeded, PbxRefused."""
        self._queue(queue)
        agent, presence = self._agent(agent_id)
        if not presence.logged_in:
            raise Conflict(f"{agent.name} is in no queue; log them in first")
        # A seat that took calls would end the pause of the others: an agent has one presence.
        reason = presence.pause_reason or ("wrap_up" if presence.wrap_up_until is not None else "")
        await self._pbx_of(agent_id).queue_add(
            queue, agent.interface, name=agent.name, penalty=penalty, paused=bool(reason), reason=reason
        )
        await self._note(by, "member_moved", f"agent:{agent_id}", {"queue": queue, "seated": True, "penalty": penalty})

    async def unseat(self, by: Person, queue: QueueName, agent_id: AgentId) -> None:
        """Take an agent out of one queue; a call under way goes on. Raises NotFound, PeerLost, DeadlineExceeded …"""
        self._queue(queue)
        agent, _ = self._agent(agent_id)
        await self._pbx_of(agent_id).queue_remove(queue, agent.interface)
        await self._note(by, "member_moved", f"agent:{agent_id}", {"queue": queue, "seated": False})

    def _pbx_of(self, agent_id: AgentId) -> Pbx:
        return self._pbxs[self._agents.pbx_of(agent_id)]

    def _agent(self, agent_id: AgentId) -> tuple[Agent, Presence]:
        for agent, presence in self._agents.everybody():
            if agent.id == agent_id:
                return agent, presence
        raise NotFound(f"there is no agent {agent_id}")

    def _queue(self, queue: QueueName) -> None:
        if queue not in self._site.queues:
            raise NotFound(f"there is no queue {queue} in queues.yaml")

    async def _note(self, by: Person, act: AuditAct, subject: str, detail: dict[str, Json]) -> None:
        async with self._database.unit_of_work() as uow:
            await uow.audit.note(self._clock.now(), by.actor, act, subject, peer=by.peer, detail=detail)
