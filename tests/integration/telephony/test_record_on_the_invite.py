"""A desk phone or softphone is told on its INVITE whose call it is, and where the record is."""

from __future__ import annotations

import pytest

from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.eventually import eventually
from tests.support.telephony import Exchange, invites

pytestmark = [pytest.mark.pbx, pytest.mark.asyncio(loop_scope="module")]

CALLER = "13800000001"


@pytest.mark.parametrize(
    "member", ["PJSIP/agent1", "Local/101@cti-agents/n"], ids=["a phone", "behind a Local channel"]
)
async def test_the_record_opened_in_the_menu_is_named_to_the_phone(
    centre: Exchange, programs: Programs, member: str
) -> None:
    pbx = centre.pbx
    [contact] = await centre.app.features.contacts.find_or_create(CALLER, "张伟")
    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, CALLER) as caller,
    ):
        await pbx.cli(f"queue add member {member} to repair")
        await pbx.cli("pjsip set logger on")
        before = len(invites(centre, "agent1"))
        await caller.dial("4008001234")
        await caller.answered()
        for key in "11":
            heard_s = caller.heard_s()

            async def spoken(heard_s: float = heard_s) -> bool:
                return caller.heard_s() > heard_s + 0.5

            await eventually(spoken, within_s=20)
            await caller.press(key)
        await agent.ringing()
        await pbx.cli("pjsip set logger off")
        await caller.hang_up()
    await pbx.cli(f"queue remove member {member} from repair")
    invite = invites(centre, "agent1")[before]
    async with centre.app.database.reading() as uow:
        [record, *_] = await uow.records.open_of_contact(contact.id)
        [call] = (await uow.records.calls(record.id))[-1:]
    assert invite["Call-Info"] == f"<{centre.url}/#/desk/{record.id}>;purpose=info"
    assert invite["X-CTI-Caller"] == "张伟"
    assert invite["X-CTI-Call"] == call
    assert "X-CTI-Tier" not in invite  # he has none
