"""The queue's member is a Local channel to the agent's extension, as FreePBX makes them."""

from __future__ import annotations

from ctiserver.model.events import AgentRinging
from ctiserver.model.ids import Interface
from tests.support.scenario import AGENT2, REPAIR, Floor


async def test_the_real_phone_is_who_rings_and_answers(floor: Floor) -> None:
    agent, caller = await floor.agent("agent2"), await floor.caller()
    member = Interface("Local/102@cti-phones/n")
    await floor.seen.link.queue_add(REPAIR, member, name="Local/102", penalty=0)
    await caller.dial("7001")
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await agent.hang_up()
    [call] = await floor.over()
    assert call.answered_by == (AGENT2,)
    [rung] = [event for event in floor.seen.events if isinstance(event, AgentRinging)]
    assert (rung.interface, rung.member, rung.queue) == (AGENT2, member, REPAIR)
