"""kill -9 says nothing; the next connect finds another process, and every call of before is over."""

from __future__ import annotations

from pathlib import Path

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.events import CallEnded
from tests.support.asterisk import on_disk
from tests.support.eventually import eventually
from tests.support.scenario import AGENT1, REPAIR
from tests.support.tracked import tracked


async def kept_members(pbx: PrivatePbx) -> str:
    """The queue's dynamic members as they lie in AstDB on the disk, where they come within a second or so."""
    return on_disk(pbx, "/Queue/PersistentMembers/repair")


async def test_a_killed_asterisk_ends_its_calls_and_keeps_its_members(programs: Programs, tmp_path: Path) -> None:
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
        await eventually(lambda: kept_members(pbx), lambda members: "PJSIP/agent1" in members)
        await pbx.kill()
        await pbx.restart()
        await seen.until(lambda events: any(isinstance(event, CallEnded) for event in events))
        [ended] = [event for event in seen.events if isinstance(event, CallEnded)]
        assert (ended.reason, ended.summary.complete) == ("pbx_restarted", False)
        assert ended.summary.answered_by == (AGENT1,)
        await seen.link.ready()
        assert seen.link.calls() == []
        assert [(seat.queue, seat.interface, seat.penalty) for seat in seen.link.members()] == [(REPAIR, AGENT1, 2)]
