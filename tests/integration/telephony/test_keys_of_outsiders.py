"""The keys and the REFER of a caller from outside at an agent's extension do nothing; the agent's own still work."""

from __future__ import annotations

from ctiserver.privatepbx.lifecycle import PrivatePbx
from ctiserver.privatepbx.phone import SipPhone
from ctiserver.privatepbx.tree import Programs
from tests.support.asterisk import active_channels
from tests.support.eventually import eventually

#: A number that leads a caller to the extension 101, as a hand-over or `transfer:` of a flow does.
AT_THE_EXTENSION = "7011"
CALLER = "13800000001"


async def test_a_caller_from_outside_has_no_keys_and_no_refer(pbx: PrivatePbx, programs: Programs) -> None:
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

        # Keys that the PBX took for its own would not be heard by the other side.
        await caller.press("*1*2*4")
        await eventually(lambda: _heard(agent), lambda keys: keys == "*1*2*4", within_s=20.0)
        assert await active_channels(pbx) == 2

        # The phone that is asked to transfer asks the PBX, which refuses; the two talk on.
        await caller.transfer("102")
        await caller.press("5")
        await eventually(lambda: _heard(agent), lambda keys: keys.endswith("5"), within_s=20.0)
        assert await active_channels(pbx) == 2
        assert colleague.rung == 0

        # The agent's own phone hands the call on as ever.
        await agent.press("*2102")
        await colleague.ringing()
        await colleague.answer()
        await agent.ended()
        await caller.hang_up()
        await colleague.ended()


async def test_a_phone_of_ours_that_calls_another_keeps_its_keys(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as first,
        SipPhone.agent(programs, pbx, "agent2") as second,
        SipPhone.agent(programs, pbx, "agent3") as third,
    ):
        await first.dial("102")
        await second.ringing()
        await second.answer()
        await first.answered()
        await first.press("*2103")
        await third.ringing()
        await third.answer()
        await first.ended()
        await third.hang_up()
        await second.ended()


async def _heard(phone: SipPhone) -> str:
    return phone.keys_heard
