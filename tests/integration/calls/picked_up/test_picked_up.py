"""A phone rings for a queue, and a colleague takes the call."""

from __future__ import annotations

from ctiserver.model.events import AgentConnected
from tests.support.scenario import AGENT1, AGENT3, REPAIR, Floor, kinds


async def test_the_call_is_the_colleagues(floor: Floor) -> None:
    rung, other, caller = await floor.agent("agent1", REPAIR), await floor.agent("agent3"), await floor.caller()
    await caller.dial("7001")
    await rung.ringing()
    await other.dial("8001")
    await other.answered()
    await floor.talk()
    await caller.hang_up()
    # app_queue names the member whom it rang.
    [call] = await floor.over(but=("answered repair: ours PJSIP/agent3, queue_log agent1",))
    assert (call.outcome, call.answered_by) == ("answered", (AGENT3,))
    assert [(visit.outcome, visit.agent) for visit in call.queue_visits] == [("answered", AGENT3)]
    assert [(e.interface, e.queue) for e in floor.seen.events if isinstance(e, AgentConnected)] == [(AGENT3, REPAIR)]
    assert kinds(call, AGENT1) == ["ring"]
