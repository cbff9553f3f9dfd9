"""The member's phone sends the caller on to a colleague (302)."""

from __future__ import annotations

from pathlib import Path

from tests.support.scenario import AGENT2, QUICK, Floor, kinds


async def test_the_colleague_answers_for_the_queue(floor: Floor) -> None:
    phone = await floor.scripted("agent1", Path(__file__).with_name("forwards_to_102.xml"), QUICK)
    second, caller = await floor.agent("agent2"), await floor.caller()
    await caller.dial("7010")
    await second.ringing()
    await second.answer()
    await phone.done()
    await floor.talk()
    await caller.hang_up()
    # app_queue names the member whom it rang.
    [call] = await floor.over(but=("answered quick: ours PJSIP/agent2, queue_log agent1",))
    assert call.answered_by == (AGENT2,)
    assert [(visit.queue, visit.outcome, visit.agent) for visit in call.queue_visits] == [(QUICK, "answered", AGENT2)]
    assert kinds(call, "caller") == ["ivr", "queue", "talk"]
