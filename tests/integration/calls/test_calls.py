"""Calls on a real Asterisk: what we make of them equals its own queue_log and CDRs in parties, seconds ± 1 and exit."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from ctiserver.model.events import AgentConnected, AgentRinging, CallEnded, CallerLeftQueue, CallHeld, CallSummary
from ctiserver.model.ids import Interface, QueueName
from ctiserver.privatepbx.lifecycle import PrivatePbx
from ctiserver.privatepbx.phone import SipPhone
from ctiserver.privatepbx.tree import Programs
from tests.support.eventually import eventually
from tests.support.tracked import Tracked, cdrs, queue_log, tracked

REPAIR, OPERATORS = QueueName("repair"), QueueName("operators")
AGENT1, AGENT2, AGENT3 = (Interface(f"PJSIP/agent{n}") for n in (1, 2, 3))


@dataclass
class Floor:
    """A PBX with a link, and phones as a test asks for them."""

    seen: Tracked
    pbx: PrivatePbx
    programs: Programs
    stack: AsyncExitStack

    async def agent(self, name: str, *queues: QueueName) -> SipPhone:
        phone = await self.stack.enter_async_context(SipPhone.agent(self.programs, self.pbx, name))
        for queue in queues:
            await self.seen.link.queue_add(queue, Interface(f"PJSIP/{name}"), name=name, penalty=0)
        return phone

    async def caller(self, number: str = "13800138000") -> SipPhone:
        return await self.stack.enter_async_context(SipPhone.caller(self.programs, self.pbx, number))

    async def talk(self, seconds: float = 1.2) -> None:
        """People talk for a while: the log has whole seconds."""
        await asyncio.sleep(seconds)

    def channel(self, interface: Interface) -> str:
        """The one channel of a device."""
        [leg] = [leg for leg in self.seen.link._intake.tracker._book.legs.values() if leg.interface == interface]
        return leg.channel


@pytest.fixture
async def floor(numbers: PrivatePbx, programs: Programs) -> AsyncIterator[Floor]:
    async with tracked(numbers) as seen, AsyncExitStack() as stack:
        yield Floor(seen, numbers, programs, stack)
        for member in seen.link.members():
            await seen.link.queue_remove(member.queue, member.interface)


async def agrees(floor: Floor, call: CallSummary) -> None:
    """Our visits and talk against queue_log's, and the answered parties against the CDRs'."""
    # Asterisk writes both a moment after it told us that the call is over.
    rows = await eventually(lambda: written(floor.pbx, call))
    logged = queue_log(floor.pbx, call.linkedids[0])
    assert [(visit.queue, visit.outcome) for visit in call.queue_visits] == [(v.queue, v.outcome) for v in logged]
    for ours, theirs in zip(call.queue_visits, logged, strict=True):
        assert ours.entered_at is not None
        assert ours.left_at is not None
        assert abs((ours.left_at - ours.entered_at).total_seconds() - theirs.wait_s) <= 1
        if theirs.talk_s is not None and ours.agent is not None:
            assert abs(with_caller_s(call, ours.agent) - theirs.talk_s) <= 1
    ended_by = [visit.ended_by for visit in logged if visit.ended_by]
    if ended_by and not call.transfers:
        assert call.hangup_by == ended_by[-1]
    answered = {device(row["dstchannel"]) for row in rows if row["disposition"] == "ANSWERED"}
    assert set(call.answered_by) <= answered | {device(row["channel"]) for row in rows}
    caller = [segment for segment in call.segments if segment.party == "caller"]
    for one, two in itertools.pairwise(caller):
        assert one.ended_at is not None
        assert two.started_at is not None
        assert 0 <= (two.started_at - one.ended_at).total_seconds() < 0.1, "a hole in the caller's time"


async def written(pbx: PrivatePbx, call: CallSummary) -> list[dict[str, str]]:
    """The CDRs of a call; none until all its channels have theirs and each queue visit its end."""
    visits = queue_log(pbx, call.linkedids[0])
    complete = len(visits) == len(call.queue_visits) and all(visit.outcome for visit in visits)
    return cdrs(pbx, call.linkedids) if complete else []


def with_caller_s(call: CallSummary, interface: Interface) -> float:
    """An agent's time with the caller as Asterisk counts it: from the connection to its end, hold and consult included."""
    times = [
        (segment.started_at, segment.ended_at)
        for segment in call.segments
        if segment.party == interface and segment.kind in ("talk", "hold", "consult")
    ]
    return sum((end - start).total_seconds() for start, end in times if start is not None and end is not None)


def device(channel: str) -> str:
    return channel.rpartition("-")[0]


async def phones_idle(*phones: SipPhone) -> None:
    """The PBX knows that a call is over before the phones do."""
    for phone in phones:
        await phone.stopped_ringing()
        await phone.ended()


def kinds(call: CallSummary, party: str) -> list[str]:
    return [segment.kind for segment in call.segments if segment.party == party]


async def test_answered_and_the_caller_hangs_up(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", REPAIR), await floor.caller()
    await caller.dial("7001")
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert (call.outcome, call.answered_by, call.ani, call.dnis) == ("answered", (AGENT1,), "13800138000", "7001")
    assert (call.direction, call.hangup_by, call.hangup_cause) == ("inbound", "caller", 16)
    assert kinds(call, "caller") == ["ivr", "queue", "talk"]
    assert kinds(call, AGENT1) == ["ring", "talk"]


async def test_answered_and_the_agent_hangs_up(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", REPAIR), await floor.caller()
    await caller.dial("7001")
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await agent.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert call.hangup_by == "agent"


async def test_abandoned(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", REPAIR), await floor.caller()
    await caller.dial("7001")
    await agent.ringing()
    await caller.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert (call.outcome, call.answered_by, call.hangup_by) == ("abandoned", (), "caller")


async def test_busy_then_another_answers(floor: Floor) -> None:
    first, second = await floor.agent("agent1", REPAIR), await floor.agent("agent2", REPAIR)
    caller = await floor.caller()
    await caller.dial("7001")
    await floor.seen.until(lambda events: any(isinstance(event, AgentRinging) for event in events))
    rung = next(event for event in floor.seen.events if isinstance(event, AgentRinging)).interface
    one, other = (first, second) if rung == AGENT1 else (second, first)
    await one.ringing()
    await one.decline()
    await other.ringing()
    await other.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert call.answered_by == (AGENT2 if rung == AGENT1 else AGENT1,)


async def test_time_out_then_another_queue(floor: Floor) -> None:
    """Re-entry: the same channel waits twice, each wait is a visit of its own."""
    await floor.agent("agent1", REPAIR)
    second, caller = await floor.agent("agent2", OPERATORS), await floor.caller()
    await caller.dial("7002")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert [(visit.queue, visit.outcome, visit.agent) for visit in call.queue_visits] == [
        (REPAIR, "timeout", None),
        (OPERATORS, "answered", AGENT2),
    ]


async def test_blind_transfer_to_a_phone(floor: Floor) -> None:
    first, second, caller = await floor.agent("agent1", REPAIR), await floor.agent("agent2"), await floor.caller()
    await caller.dial("7001")
    await first.ringing()
    await first.answer()
    await floor.talk()
    await first.transfer("102")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await second.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert [(t.kind, t.by, t.to) for t in call.transfers] == [("blind", AGENT1, "102")]
    assert call.answered_by == (AGENT1, AGENT2)
    assert call.hangup_by == "agent"
    assert kinds(call, "caller") == ["ivr", "queue", "talk", "ring", "talk"]


async def test_blind_transfer_to_a_queue(floor: Floor) -> None:
    first, second = await floor.agent("agent1", REPAIR), await floor.agent("agent2", OPERATORS)
    caller = await floor.caller()
    await caller.dial("7001")
    await first.ringing()
    await first.answer()
    await floor.talk()
    await first.transfer("8007")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert [(visit.queue, visit.agent) for visit in call.queue_visits] == [(REPAIR, AGENT1), (OPERATORS, AGENT2)]


@pytest.mark.parametrize("answered_first", [True, False], ids=["attended", "blonde"])
async def test_attended_transfer_by_the_pbx(floor: Floor, answered_first: bool) -> None:
    first, second, caller = await floor.agent("agent1", REPAIR), await floor.agent("agent2"), await floor.caller()
    await caller.dial("7001")
    await first.ringing()
    await first.answer()
    await floor.talk()
    await floor.seen.link.attended_transfer(floor.channel(AGENT1), context="cti-phones", exten="102")
    await second.ringing()
    if answered_first:
        await second.answer()
        await floor.talk(0.5)
        await first.hang_up()
    else:
        await floor.talk(0.5)
        await first.hang_up()
        await second.answer()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    kind = "attended" if answered_first else "blonde"
    assert [(t.kind, t.by, t.to) for t in call.transfers] == [(kind, AGENT1, AGENT2)]
    assert call.answered_by == (AGENT1, AGENT2)
    assert kinds(call, AGENT1) == ["ring", "talk", "hold", "consult"]


async def test_gives_up_on_hold(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1", REPAIR), await floor.caller()
    await caller.dial("7001")
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await agent.hold()
    await floor.seen.until(lambda events: any(isinstance(e, CallHeld) and e.held for e in events))
    await floor.talk(0.5)
    await caller.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert kinds(call, "caller") == ["ivr", "queue", "talk", "hold"]
    assert kinds(call, AGENT1) == ["ring", "talk", "hold"]


async def test_picked_up_from_the_queue(floor: Floor) -> None:
    rung, other, caller = await floor.agent("agent1", REPAIR), await floor.agent("agent3"), await floor.caller()
    await caller.dial("7001")
    await rung.ringing()
    await other.dial("8001")
    await other.answered()
    await floor.talk()
    await caller.hang_up()
    [call] = await floor.seen.ended()
    assert (call.outcome, call.answered_by) == ("answered", (AGENT3,))
    assert [(visit.outcome, visit.agent) for visit in call.queue_visits] == [("answered", AGENT3)]
    assert [(e.interface, e.queue) for e in floor.seen.events if isinstance(e, AgentConnected)] == [(AGENT3, REPAIR)]


async def test_a_member_behind_a_local_channel(floor: Floor) -> None:
    agent, caller = await floor.agent("agent2"), await floor.caller()
    member = Interface("Local/102@cti-phones/n")
    await floor.seen.link.queue_add(REPAIR, member, name="Agent Two", penalty=0)
    await caller.dial("7001")
    await agent.ringing()
    await agent.answer()
    await floor.talk()
    await agent.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert call.answered_by == (AGENT2,)
    [rung] = [event for event in floor.seen.events if isinstance(event, AgentRinging)]
    assert (rung.interface, rung.member, rung.queue) == (AGENT2, member, REPAIR)


async def test_two_queues_at_once(floor: Floor) -> None:
    first, second = await floor.agent("agent1", REPAIR), await floor.agent("agent2", OPERATORS)
    one, two = await floor.caller("13800138001"), await floor.caller("13800138002")
    await one.dial("7001")
    await two.dial("7007")
    for agent in (first, second):
        await agent.ringing()
        await agent.answer()
    await floor.talk()
    await one.hang_up()
    await second.hang_up()
    calls = await floor.seen.ended(2)
    for call in calls:
        await agrees(floor, call)
    assert {(call.ani, call.answered_by, call.hangup_by) for call in calls} == {
        ("13800138001", (AGENT1,), "caller"),
        ("13800138002", (AGENT2,), "agent"),
    }


async def test_dialled_two_phones_and_one_answers(floor: Floor) -> None:
    first, second, caller = await floor.agent("agent1"), await floor.agent("agent2"), await floor.caller()
    await caller.dial("7003")
    await first.ringing()
    await first.decline()
    await second.ringing()
    await second.answer()
    await floor.talk()
    await second.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert (call.answered_by, call.hangup_by) == ((AGENT2,), "agent")
    assert kinds(call, AGENT1) == ["ring"]


async def test_nobody_answers_a_dial(floor: Floor) -> None:
    agent, caller = await floor.agent("agent1"), await floor.caller()
    await caller.dial("7004")
    await agent.ringing()
    [unanswered] = await floor.seen.ended()
    await phones_idle(agent, caller)
    await caller.dial("7004")
    await agent.ringing()
    await agent.decline()
    _, busy = await floor.seen.ended(2)
    await phones_idle(agent, caller)
    await caller.dial("7004")
    await agent.ringing()
    await caller.hang_up()
    *_, given_up = await floor.seen.ended(3)
    assert [call.outcome for call in (unanswered, busy, given_up)] == ["no_answer", "busy", "abandoned"]


async def test_served_in_the_menu(floor: Floor) -> None:
    caller = await floor.caller()
    await caller.dial("7006")
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert (call.outcome, call.hangup_by) == ("ivr", "pbx")


async def test_leaves_a_message(floor: Floor) -> None:
    caller = await floor.caller()
    await caller.dial("7008")
    [call] = await floor.seen.ended()
    assert call.outcome == "voicemail"
    [message] = [segment for segment in call.segments if segment.kind == "voicemail"]
    assert message.started_at is not None
    assert message.ended_at is not None
    assert 0.5 < (message.ended_at - message.started_at).total_seconds() < 3


async def test_a_queue_that_lets_nobody_in(floor: Floor) -> None:
    """No member: app_queue says nothing at all, our dialplan does."""
    caller = await floor.caller()
    await caller.dial("7009")
    await floor.seen.until(lambda events: any(isinstance(event, CallerLeftQueue) for event in events))
    await caller.hang_up()
    [call] = await floor.seen.ended()
    assert [(visit.queue, visit.outcome, visit.entered_at) for visit in call.queue_visits] == [
        (REPAIR, "empty", call.queue_visits[0].left_at)
    ]


async def test_conference(floor: Floor) -> None:
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
    [call] = await floor.seen.ended()
    assert len(call.linkedids) == 3


async def test_agent_to_agent(floor: Floor) -> None:
    first, second = await floor.agent("agent1"), await floor.agent("agent2")
    await first.dial("102")
    await second.ringing()
    await second.answer()
    await floor.talk()
    await second.hang_up()
    [call] = await floor.seen.ended()
    await agrees(floor, call)
    assert (call.direction, call.ani, call.dnis, call.answered_by) == ("internal", "101", "102", (AGENT2,))
    assert kinds(call, AGENT1) == ["ivr", "ring", "talk"]


async def test_a_killed_asterisk_ends_its_calls(programs: Programs, tmp_path: Path) -> None:
    """kill -9 says nothing; the next connect finds another process, and every call of before is over."""
    async with (
        PrivatePbx.start(tmp_path, programs=programs) as pbx,
        tracked(pbx) as seen,
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138000") as caller,
    ):
        for priority, step in enumerate(("Answer()", "Queue(repair)"), 1):
            await pbx.cli(f"dialplan add extension 7001,{priority},{step} into cti-inbound")
        await seen.link.queue_add(REPAIR, AGENT1, name="Agent One", penalty=2)
        await caller.dial("7001")
        await agent.ringing()
        await agent.answer()
        await asyncio.sleep(1.5)  # AstDB, where dynamic members are kept, is written once a second
        await pbx.kill()
        await pbx.restart()
        await seen.until(lambda events: any(isinstance(event, CallEnded) for event in events))
        [ended] = [event for event in seen.events if isinstance(event, CallEnded)]
        assert (ended.reason, ended.summary.complete) == ("pbx_restarted", False)
        assert ended.summary.answered_by == (AGENT1,)
        await seen.link.ready()
        assert seen.link.calls() == []
        assert [(seat.queue, seat.interface, seat.penalty) for seat in seen.link.members()] == [(REPAIR, AGENT1, 2)]
