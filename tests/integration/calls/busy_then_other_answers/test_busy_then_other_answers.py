"""The first member's phone is busy, the next one answers."""

from __future__ import annotations

from pathlib import Path

from tests.support.scenario import AGENT1, AGENT2, QUICK, Floor, kinds


async def test_a_busy_phone_is_told_from_one_that_rings_out(floor: Floor) -> None:
    await floor.scripted("agent1", Path(__file__).with_name("busy.xml"), QUICK)
    second, caller = await floor.agent("agent2", QUICK), await floor.caller()
    await caller.dial("7010")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await second.hang_up()
    [call] = await floor.over()
    assert (call.answered_by, call.hangup_by) == ((AGENT2,), "agent")
    assert [(ring.interface, ring.outcome) for ring in floor.rings_of(call)] == [(AGENT1, "busy"), (AGENT2, "answered")]
    assert kinds(call, AGENT1) == ["ring"]
