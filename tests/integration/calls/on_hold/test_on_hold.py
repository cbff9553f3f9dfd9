"""The agent puts the caller on hold."""

from __future__ import annotations

from pathlib import Path

from ctiserver.model.events import CallHeld
from tests.support.scenario import AGENT1, REPAIR, Floor, kinds


async def test_the_caller_gives_up_on_hold(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", REPAIR), await floor.caller()
    await caller.dial("7001")
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await agent.hold()
    await floor.seen.until(lambda events: any(isinstance(e, CallHeld) and e.held for e in events))
    await floor.talk(0.5)
    await caller.hang_up()
    [call] = await floor.over()
    assert kinds(call, "caller") == ["ivr", "queue", "talk", "hold"]
    assert kinds(call, AGENT1) == ["ring", "talk", "hold"]


async def test_the_agent_comes_back(floor: Floor) -> None:
    phone = await floor.scripted("agent1", Path(__file__).with_name("holds_and_resumes.xml"), REPAIR)
    caller = await floor.caller()
    await caller.dial("7001")
    await floor.seen.until(lambda events: [e.held for e in events if isinstance(e, CallHeld)] == [True, False])
    await floor.talk(0.5)
    await caller.hang_up()
    await phone.done()
    [call] = await floor.over()
    assert kinds(call, "caller") == ["ivr", "queue", "talk", "hold", "talk"]
    assert kinds(call, AGENT1) == ["ring", "talk", "hold", "talk"]
    assert call.answered_by == (AGENT1,)
