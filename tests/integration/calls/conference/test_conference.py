"""Three meet in a conference; each goes when it suits them."""

from __future__ import annotations

from ctiserver.model.events import AgentConnected
from tests.support.scenario import Floor


async def test_it_is_one_call(floor: Floor) -> None:
    first, second, caller = await floor.agent("agent1"), await floor.agent("agent2"), await floor.caller()
    for phone, number in ((first, "8005"), (second, "8005"), (caller, "7005")):
        await phone.dial(number)
        await phone.answered()
        await floor.talk(0.3)
    await floor.seen.until(lambda events: sum(isinstance(event, AgentConnected) for event in events) >= 2, 20)
    await floor.talk(0.5)
    await first.hang_up()
    await caller.hang_up()
    await second.hang_up()
    [call] = await floor.over()
    assert len(call.linkedids) == 3
