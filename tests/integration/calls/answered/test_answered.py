"""A caller waits in a queue, an agent answers."""

from __future__ import annotations

from tests.support.scenario import AGENT1, REPAIR, Floor, kinds


async def test_the_caller_hangs_up(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", REPAIR), await floor.caller()
    await caller.dial("7001")
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.over()
    assert (call.outcome, call.answered_by, call.ani, call.dnis) == ("answered", (AGENT1,), "13800138000", "7001")
    assert (call.direction, call.hangup_by, call.hangup_cause) == ("inbound", "caller", 16)
    assert kinds(call, "caller") == ["ivr", "queue", "talk"]
    assert kinds(call, AGENT1) == ["ring", "talk"]


async def test_the_agent_hangs_up(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", REPAIR), await floor.caller()
    await caller.dial("7001")
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await agent.hang_up()
    [call] = await floor.over()
    assert call.hangup_by == "agent"
