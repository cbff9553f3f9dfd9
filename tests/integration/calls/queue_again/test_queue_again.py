"""Time-out in one queue, then another: the same channel waits twice, each wait is a visit of its own."""

from __future__ import annotations

from tests.support.scenario import AGENT2, OPERATORS, QUICK, Floor


async def test_two_visits_of_one_caller(floor: Floor) -> None:
    await floor.agent("agent1", QUICK)
    second, caller = await floor.agent("agent2", OPERATORS), await floor.caller()
    await caller.dial("7002")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.over()
    assert [(visit.queue, visit.outcome, visit.agent) for visit in call.queue_visits] == [
        (QUICK, "timeout", None),
        (OPERATORS, "answered", AGENT2),
    ]
