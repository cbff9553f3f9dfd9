"""Callers in two queues at once."""

from __future__ import annotations

from tests.support.scenario import AGENT1, AGENT2, OPERATORS, PAUSING, QUICK, REPAIR, Floor


async def test_each_queue_has_its_agent(floor: Floor) -> None:
    first, second = await floor.agent("agent1", REPAIR), await floor.agent("agent2", OPERATORS)
    one, two = await floor.caller("13800138001"), await floor.caller("13800138002")
    await one.dial("7001")
    await two.dial("7007")
    for agent in (first, second):
        await agent.ringing()
        await agent.answer()
    await floor.talk()
    await one.hang_up()
    await second.hang_up()
    calls = await floor.over(2)
    assert {(call.ani, call.answered_by, call.hangup_by) for call in calls} == {
        ("13800138001", (AGENT1,), "caller"),
        ("13800138002", (AGENT2,), "agent"),
    }


async def test_one_agent_of_both_is_offered_one_call_at_a_time(floor: Floor) -> None:
    agent = await floor.agent("agent1", QUICK, PAUSING)
    one, two = await floor.caller("13800138001"), await floor.caller("13800138002")
    await one.dial("7010")
    await agent.ringing()
    await agent.answer()
    await two.dial("7011")
    await floor.talk()
    await agent.hang_up()
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await two.hang_up()
    calls = await floor.over(2)
    assert [(call.ani, call.answered_by, call.hangup_by) for call in calls] == [
        ("13800138001", (AGENT1,), "agent"),
        ("13800138002", (AGENT1,), "caller"),
    ]
    assert [ring.outcome for ring in floor.rings_of(calls[1])] == ["answered"]
