"""The agent passes the caller on to a colleague's phone by REFER, without asking."""

from __future__ import annotations

from tests.support.scenario import AGENT1, AGENT2, REPAIR, Floor, kinds


async def test_the_first_agents_talk_stops_at_the_transfer(floor: Floor) -> None:
    first, second, caller = await floor.agent("agent1", REPAIR), await floor.agent("agent2"), await floor.caller()
    await caller.dial("7001")
    await first.ringing()
    await first.answer()
    await floor.talk()
    await first.transfer("102")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await second.hang_up()
    [call] = await floor.over()
    assert [(t.kind, t.by, t.to) for t in call.transfers] == [("blind", AGENT1, "102")]
    assert call.answered_by == (AGENT1, AGENT2)
    assert call.hangup_by == "agent"
    assert kinds(call, "caller") == ["ivr", "queue", "talk", "ring", "talk"]
