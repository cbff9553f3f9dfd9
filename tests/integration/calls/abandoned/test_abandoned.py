"""A caller gives up while an agent's phone rings."""

from __future__ import annotations

from tests.support.scenario import REPAIR, Floor


async def test_the_caller_hangs_up_before_anybody_answers(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", REPAIR), await floor.caller()
    await caller.dial("7001")
    await agent.ringing()
    await caller.hang_up()
    [call] = await floor.over()
    assert (call.outcome, call.answered_by, call.hangup_by) == ("abandoned", (), "caller")
