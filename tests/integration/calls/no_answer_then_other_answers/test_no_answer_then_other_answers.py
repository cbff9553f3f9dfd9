"""The first member lets it ring out, the next one answers."""

from __future__ import annotations

from tests.support.scenario import AGENT1, AGENT2, QUICK, Floor, kinds


async def test_the_phone_that_rang_out_took_no_part(floor: Floor) -> None:
    await floor.agent("agent1", QUICK)
    second, caller = await floor.agent("agent2", QUICK), await floor.caller()
    await caller.dial("7010")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.over()
    assert (call.outcome, call.answered_by) == ("answered", (AGENT2,))
    assert [(ring.interface, ring.queue, ring.outcome) for ring in floor.rings_of(call)] == [
        (AGENT1, QUICK, "no_answer"),
        (AGENT2, QUICK, "answered"),
    ]
    assert kinds(call, AGENT1) == ["ring"]
    assert kinds(call, "caller") == ["ivr", "queue", "talk"]
