"""Somebody takes a waiting caller out of the queue and sends them elsewhere (AMI's Redirect)."""

from __future__ import annotations

from ctiserver.model.ids import Interface
from tests.support.scenario import AGENT2, OPERATORS, REPAIR, Floor


async def test_is_neither_a_time_out_nor_given_up(floor: Floor) -> None:
    first, second = await floor.agent("agent1", REPAIR), await floor.agent("agent2", OPERATORS)
    caller = await floor.caller()
    await caller.dial("7001")
    await first.ringing()
    await floor.seen.link.redirect(await floor.channel(Interface("PJSIP/trunk")), context="cti-inbound", exten="7007")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await caller.hang_up()
    visits = "queue visits: ours [('repair', 'key'), ('operators', 'answered')], queue_log"
    [call] = await floor.over(but=(f"{visits} [('repair', 'abandoned'), ('operators', 'answered')]",))
    assert [(visit.outcome, visit.agent) for visit in call.queue_visits] == [("key", None), ("answered", AGENT2)]
