"""Callers whom no person serves."""

from __future__ import annotations

from ctiserver.model.events import CallerLeftQueue
from tests.support.scenario import REPAIR, Floor


async def test_served_in_the_menu(floor: Floor) -> None:
    caller = await floor.caller()
    await caller.dial("7006")
    [call] = await floor.over()
    assert (call.outcome, call.hangup_by) == ("ivr", "pbx")


async def test_a_queue_that_lets_nobody_in(floor: Floor) -> None:
    """No member: app_queue says nothing at all, our dialplan does."""
    caller = await floor.caller()
    await caller.dial("7009")
    await floor.seen.until(lambda events: any(isinstance(event, CallerLeftQueue) for event in events))
    await caller.hang_up()
    [call] = await floor.over()
    assert [(visit.queue, visit.outcome, visit.entered_at) for visit in call.queue_visits] == [
        (REPAIR, "empty", call.queue_visits[0].left_at)
    ]
