"""Topics of agents: ``presence:<agent>`` to that agent and to supervisors, ``team:all`` to supervisors."""

from __future__ import annotations

from ctiserver.features.agents.http import presence_json, team_json
from ctiserver.features.agents.service import Agents
from ctiserver.model.agent import Presence
from ctiserver.model.ids import AgentId
from ctiserver.model.json_value import Json
from ctiserver.web.access import DESK, SUPERVISORS, Person
from ctiserver.web.hub import Hub, Topic


def topics(agents: Agents) -> list[Topic]:
    """What browsers can follow of agents."""

    async def presence(key: str) -> Json:
        return presence_json(agents.presence(AgentId(key)), agents)

    async def team(key: str) -> Json:
        return team_json(agents)

    def may_see(person: Person, key: str) -> bool:
        known = any(agent.id == key for agent, _ in agents.everybody())
        return known and (person.agent_id == key or person.role in SUPERVISORS)

    return [
        Topic(kind="presence", roles=DESK, may=may_see, snapshot=presence),
        Topic(kind="team", roles=SUPERVISORS, may=lambda person, key: key == "all", snapshot=team),
    ]


def publish(hub: Hub, agents: Agents, presence: Presence) -> None:
    """Tell anyone who follows this agent, or all of them."""
    data = presence_json(presence, agents)
    hub.publish("presence", presence.agent_id, "changed", data)
    hub.publish("team", "all", "changed", data)
