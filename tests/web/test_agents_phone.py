"""The phone that a flow may ring: of an agent who is logged in, on the PBX where that phone is."""

from __future__ import annotations

from ctiserver.model.ids import AgentId, PbxName
from tests.support.desk import PBX, Desk
from tests.support.eventually import eventually

LI = AgentId("li")


async def test_an_agent_who_is_logged_in_has_a_phone_on_their_own_pbx_alone(running: Desk) -> None:
    await running.add_user("li", "agent", interface="PJSIP/li")
    agents = running.features.agents
    assert agents.interface_on(LI, PBX) is None
    await agents.log_in(LI)

    async def phone() -> str | None:
        return agents.interface_on(LI, PBX)

    assert await eventually(phone, lambda it: it is not None) == "PJSIP/li"
    assert agents.interface_on(LI, PbxName("another")) is None


async def test_who_is_no_agent_has_no_phone(running: Desk) -> None:
    assert running.features.agents.interface_on(AgentId("nobody"), PBX) is None
