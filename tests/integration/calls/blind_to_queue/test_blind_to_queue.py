"""The agent passes the caller on to another queue."""

from __future__ import annotations

from tests.support.scenario import AGENT1, AGENT2, OPERATORS, REPAIR, Floor


async def test_each_queue_has_its_visit(floor: Floor) -> None:
    first, second = await floor.agent("agent1", REPAIR), await floor.agent("agent2", OPERATORS)
    caller = await floor.caller()
    await caller.dial("7001")
    await first.ringing()
    await first.answer()
    await floor.talk()
    await first.transfer("8007")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.over()
    assert [(visit.queue, visit.agent) for visit in call.queue_visits] == [(REPAIR, AGENT1), (OPERATORS, AGENT2)]
