"""The agent's phone asks a colleague on a second line and joins the two by REFER with Replaces."""

from __future__ import annotations

from pathlib import Path

from tests.support.scenario import AGENT1, AGENT2, REPAIR, Floor, kinds


async def test_the_second_line_was_a_consult(floor: Floor) -> None:
    phone = await floor.scripted("agent1", Path(__file__).with_name("refers_once_102_answered.xml"), REPAIR)
    second, caller = await floor.agent("agent2"), await floor.caller()
    await caller.dial("7001")
    await second.ringing()
    await second.answer()
    await phone.done()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.over()
    assert [(t.kind, t.by, t.to) for t in call.transfers] == [("attended", AGENT1, AGENT2)]
    assert call.answered_by == (AGENT1, AGENT2)
    assert kinds(call, "caller") == ["ivr", "queue", "talk", "hold", "talk"]
