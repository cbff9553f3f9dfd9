"""A queue of the PBX's own that pauses a member who lets it ring out (autopause=yes)."""

from __future__ import annotations

from ctiserver.model.events import MemberChanged
from tests.support.scenario import AGENT1, AGENT2, PAUSING, Floor


async def test_the_member_is_seen_paused(floor: Floor) -> None:
    await floor.agent("agent1", PAUSING)
    second, caller = await floor.agent("agent2", PAUSING), await floor.caller()
    await caller.dial("7011")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.over()
    assert call.answered_by == (AGENT2,)
    changes = [event for event in floor.seen.events if isinstance(event, MemberChanged)]
    assert [(it.interface, it.pause_reason) for it in changes if it.paused][:1] == [(AGENT1, "Auto-Pause")]
    assert {seat.interface: seat.paused for seat in floor.seen.link.members()} == {AGENT1: True, AGENT2: False}
