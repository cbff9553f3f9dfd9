"""The keys of a caller from outside at an agent's extension do nothing, and no trunk transfers; our own phones do."""

from __future__ import annotations

from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.asterisk import active_channels
from tests.support.eventually import eventually

#: A number that leads a caller to the extension 101, as a hand-over or `transfer:` of a flow does.
AT_THE_EXTENSION = "7011"
CALLER = "13800000001"


async def test_a_caller_from_outside_has_no_keys(pbx: PrivatePbx, programs: Programs) -> None:
    await pbx.cli(f"dialplan add extension {AT_THE_EXTENSION},1,Goto(cti-agents,101,1) into cti-inbound replace")
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.agent(programs, pbx, "agent2") as colleague,
        SipPhone.caller(programs, pbx, CALLER) as caller,
    ):
        await caller.dial(AT_THE_EXTENSION)
        await agent.ringing()
        await agent.answer()
        await caller.answered()
        assert "PJSIP/agent1,30,tb(" in await pbx.cli("core show channels concise")

        # Keys that the PBX took for its own would not be heard by the other side.
        await caller.press("*1*2*4")
        await eventually(lambda: _heard(agent), lambda keys: keys == "*1*2*4", within_s=20.0)
        assert await active_channels(pbx) == 2

        assert colleague.rung == 0
        await caller.hang_up()
        await agent.ended()


async def test_the_trunk_may_not_have_calls_transferred(pbx: PrivatePbx) -> None:
    """By REFER, which Asterisk refuses then."""
    told = {" ".join(line.split()) for line in (await pbx.cli("pjsip show endpoint trunk")).splitlines()}
    assert "allow_transfer : false" in told


async def test_a_phone_of_ours_that_calls_another_keeps_its_keys(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as first,
        SipPhone.agent(programs, pbx, "agent2") as second,
    ):
        await first.dial("102")
        await second.ringing()
        await second.answer()
        await first.answered()
        assert "PJSIP/agent2,30,tTb(" in await pbx.cli("core show channels concise")
        await first.press("*4")
        await eventually(lambda: _held(pbx), within_s=20.0)
        await first.press("*")
        await first.hang_up()
        await second.ended()


async def _held(pbx: PrivatePbx) -> bool:
    """Whether some channel has been put on hold by a key."""
    channels = [line.partition("!")[0] for line in (await pbx.cli("core show channels concise")).splitlines()]
    return any(["CTI_HELD=" in await pbx.cli(f"core show channel {channel}") for channel in channels])


async def _heard(phone: SipPhone) -> str:
    return phone.keys_heard
