"""Nobody answers within the queue's time; the caller leaves a message."""

from __future__ import annotations

from tests.support.scenario import QUICK, Floor, kinds


async def test_the_mailbox_served_the_caller(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", QUICK), await floor.caller()
    await caller.dial("7012")
    await agent.ringing()
    [call] = await floor.over()
    assert (call.outcome, call.answered_by) == ("voicemail", ())
    assert [(visit.queue, visit.outcome) for visit in call.queue_visits] == [(QUICK, "timeout")]
    assert kinds(call, "caller") == ["ivr", "queue", "voicemail"]


async def test_a_message_without_a_queue(floor: Floor) -> None:
    caller = await floor.caller()
    await caller.dial("7008")
    [call] = await floor.over()
    assert call.outcome == "voicemail"
    [message] = [segment for segment in call.segments if segment.kind == "voicemail"]
    assert message.started_at is not None
    assert message.ended_at is not None
    assert 0.5 < (message.ended_at - message.started_at).total_seconds() < 3
