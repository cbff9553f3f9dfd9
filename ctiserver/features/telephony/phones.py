"""Agents' phones: whose it is, on which PBX, and what it does there just now."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ctiserver.errors import UserFault
from ctiserver.model.calls.tracking.standing import ChannelState
from ctiserver.model.ids import AgentId, Interface, PbxName
from ctiserver.model.person import FIRST_PBX, Agent
from ctiserver.pbx.port import Pbx
from ctiserver.settings import BrowserPhoneSettings, PbxSettings


class Phones:
    """Every agent's phone."""

    def __init__(
        self,
        agents: Callable[[], list[Agent]],
        pbxs: Mapping[PbxName, Pbx],
        settings: Mapping[str, PbxSettings],
    ) -> None:
        self._agents = agents
        self._pbxs = pbxs
        self._settings = settings
        self._main = next(iter(pbxs))

    def everybody(self) -> list[Agent]:
        return self._agents()

    def agent(self, agent_id: AgentId) -> Agent:
        """Raises UserFault if there is no such agent."""
        for agent in self._agents():
            if agent.id == agent_id:
                return agent
        raise UserFault(f"there is no agent {agent_id}", fix="`ctiserver user list` shows them")

    def pbx_name(self, agent: Agent) -> PbxName:
        """The PBX that has the agent's phone."""
        return self._main if agent.pbx == FIRST_PBX else agent.pbx

    def pbx(self, agent: Agent) -> Pbx:
        return self._pbxs[self.pbx_name(agent)]

    def settings(self, agent: Agent) -> PbxSettings:
        return self._settings.get(self.pbx_name(agent), PbxSettings())

    def browser_phone(self, agent: Agent) -> tuple[str, BrowserPhoneSettings] | None:
        """The phone's name at the PBX and where that is, if it is a phone for browsers."""
        settings = self.settings(agent).browser_phones
        technology, _, name = agent.interface.partition("/")
        known = bool(settings.url) and technology == "PJSIP" and name in settings.secrets
        return (name, settings) if known else None

    def owns(self, agent: Agent, pbx: PbxName, interface: Interface) -> bool:
        """Whether this is the agent's phone."""
        return agent.interface == interface and self.pbx_name(agent) == pbx

    def standing(self, agent: Agent) -> ChannelState | None:
        """The channel that the phone talks on, else the one that rings."""
        return next(iter(self.pbx(agent).standings(agent.interface)), None)
