"""The agent's phone rings a colleague on a second line and lets go of both by REFER before that answers."""

from __future__ import annotations

from pathlib import Path

from tests.support.scenario import AGENT1, AGENT2, REPAIR, Floor, kinds


async def test_the_caller_hears_the_second_phone_ring(floor: Floor) -> None:
    phone = await floor.scripted("agent1", Path(__file__).with_name("refers_while_102_rings.xml"), REPAIR)
    second, caller = await floor.agent("agent2"), await floor.caller()
    await caller.dial("7001")
    await second.ringing()
    await phone.done()
    await floor.talk(0.5)
    await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.over()
    assert [(t.kind, t.by, t.to) for t in call.transfers] == [("blonde", AGENT1, AGENT2)]
    assert call.answered_by == (AGENT1, AGENT2)
    *before, between, after = kinds(call, "caller")
    assert (before, after) == (["ivr", "queue", "talk"], "talk")
    # What joins the caller to the ringing phone comes before or after the agent's own lines end.
    assert between in ("ring", "ivr")
