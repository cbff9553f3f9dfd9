"""Phones that a plain Dial() rings, no queue between."""

from __future__ import annotations

from tests.support.scenario import AGENT1, AGENT2, Floor, kinds


async def test_two_phones_and_one_answers(floor: Floor) -> None:
    first, second, caller = await floor.agent("agent1"), await floor.agent("agent2"), await floor.caller()
    await caller.dial("7003")
    await first.ringing()
    await first.decline()
    await second.ringing()
    await second.answer()
    await floor.talk()
    await second.hang_up()
    [call] = await floor.over()
    assert (call.answered_by, call.hangup_by) == ((AGENT2,), "agent")
    assert kinds(call, AGENT1) == ["ring"]


async def test_nobody_answers(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1"), await floor.caller()
    await caller.dial("7004")
    await agent.ringing()
    [call] = await floor.over()
    assert call.outcome == "no_answer"


async def test_the_phone_is_busy(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1"), await floor.caller()
    await caller.dial("7003")
    await agent.ringing()
    await agent.decline()
    [call] = await floor.over()
    assert call.outcome == "busy"


async def test_the_caller_gives_up(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1"), await floor.caller()
    await caller.dial("7003")
    await agent.ringing()
    await caller.hang_up()
    [call] = await floor.over()
    assert call.outcome == "abandoned"


async def test_an_agent_rings_a_colleague(floor: Floor) -> None:
    first, second = await floor.agent("agent1"), await floor.agent("agent2")
    await first.dial("102")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await second.hang_up()
    [call] = await floor.over()
    assert (call.direction, call.ani, call.dnis, call.answered_by) == ("internal", "101", "102", (AGENT2,))
    assert kinds(call, AGENT1) == ["ivr", "ring", "talk"]
