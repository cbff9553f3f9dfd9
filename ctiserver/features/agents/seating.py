"""Who the agents are, on which PBX each one's phone is, and where each sits, by app_queue's own word."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ctiserver.model.events import MemberChanged
from ctiserver.model.ids import AgentId, Interface, PbxName, QueueName
from ctiserver.model.person import Agent

#: A seat that leads to a phone by its extension, as FreePBX makes them: Local/101@from-queue/n.
_LOCAL_SEAT = re.compile(r"Local/([0-9]{2,6})@")

#: A phone, or a seat: two PBXs may have one of the same name.
Place = tuple[PbxName, Interface]


@dataclass(slots=True)
class Seating:
    """Every agent, and every queue member of every PBX. ``first``: the PBX of agents who name none."""

    first: PbxName
    agents: dict[AgentId, Agent] = field(default_factory=dict)
    _by_phone: dict[Place, AgentId] = field(default_factory=dict)
    _by_extension: dict[tuple[PbxName, str], AgentId] = field(default_factory=dict)
    _seats: dict[Place, dict[QueueName, MemberChanged]] = field(default_factory=dict)
    _local_seats: dict[tuple[PbxName, str], set[Interface]] = field(default_factory=dict)

    def know(self, agents: Iterable[Agent]) -> list[AgentId]:
        """These are the agents now; those of them who are new, or whose phone is another one."""
        before, self.agents = self.agents, {agent.id: agent for agent in agents}
        self._by_phone = {(self.pbx_of(agent.id), agent.interface): agent.id for agent in self.agents.values()}
        self._by_extension = {(self.pbx_of(agent.id), agent.extension): agent.id for agent in self.agents.values()}
        return [agent.id for agent in self.agents.values() if _phone(before.get(agent.id)) != _phone(agent)]

    def pbx_of(self, agent_id: AgentId) -> PbxName:
        """On which PBX the agent's phone is."""
        return self.agents[agent_id].pbx or self.first

    def on(self, pbx: PbxName) -> list[AgentId]:
        """The agents whose phones are there."""
        return [agent_id for agent_id in self.agents if self.pbx_of(agent_id) == pbx]

    def whose(self, pbx: PbxName, interface: Interface) -> AgentId | None:
        """Whose phone this is."""
        return self._by_phone.get((pbx, interface))

    def take(self, event: MemberChanged) -> AgentId | None:
        """Take in a seat that changed; whose it is, by their phone or by a Local channel that leads to it."""
        seats = self._seats.setdefault((event.pbx, event.interface), {})
        if event.present:
            seats[event.queue] = event
        else:
            seats.pop(event.queue, None)
        local = _LOCAL_SEAT.match(event.interface)
        if local is not None:
            self._local_seats.setdefault((event.pbx, local[1]), set()).add(event.interface)
        agent_id = self.whose(event.pbx, event.interface)
        if agent_id is None and local is not None:
            agent_id = self._by_extension.get((event.pbx, local[1]))
        return agent_id

    def forget_seats(self) -> None:
        """Nothing is known of any queue's members, until :meth:`take` is told."""
        self._seats.clear()
        self._local_seats.clear()

    def seated(self, event: MemberChanged) -> bool:
        """Whether this seat is taken."""
        return event.queue in self._seats.get((event.pbx, event.interface), {})

    def of(self, agent_id: AgentId) -> list[MemberChanged]:
        """Every seat that leads to this agent's phone."""
        agent = self.agents.get(agent_id)
        if agent is None:
            return []
        pbx = self.pbx_of(agent_id)
        names = (agent.interface, *self._local_seats.get((pbx, agent.extension), ()))
        return [seat for name in names for seat in self._seats.get((pbx, name), {}).values()]


def _phone(agent: Agent | None) -> tuple[str, str, str] | None:
    return None if agent is None else (agent.pbx, agent.interface, agent.extension)
