"""What an agent with a phone on the desk does to be out of the talk for a while: hold and mute, by AMI."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from ctiserver.features.telephony.service import PhoneCall
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.ids import AgentId
from tests.support.desk import Browser
from tests.support.eventually import eventually
from tests.support.telephony import Exchange, customer_at

pytestmark = [pytest.mark.pbx, pytest.mark.asyncio(loop_scope="module")]

CALLER, CUSTOMER = "13800000001", "13900000001"
WITHIN_S = 15.0


@pytest_asyncio.fixture(loop_scope="module")
async def wang(centre: Exchange) -> AsyncIterator[Browser]:
    """His console, which stands beside his phone."""
    async with Browser(centre.url) as browser:
        await browser.log_in("wang")
        yield browser


async def _until(centre: Exchange, **wanted: Any) -> PhoneCall | None:
    async def seen() -> PhoneCall | None:
        return centre.app.features.telephony.call(AgentId("wang"))

    def like(call: PhoneCall | None) -> bool:
        return call is not None and all(getattr(call, name) == value for name, value in wanted.items())

    return await eventually(seen, like, within_s=WITHIN_S)


async def _sound(hears: Mapping[SipPhone, bool]) -> None:
    """There comes a stretch in which each phone hears a second and more of sound, or nothing at all.

    Not from the first moment on: what was under way before may take a while on a busy machine.
    """
    since: dict[SipPhone, float] = {}

    async def heard() -> bool:
        now = {phone: phone.heard_s() for phone in hears}
        if not since or any(now[phone] > since[phone] for phone, loud in hears.items() if not loud):
            since.update(now)
        return all(now[phone] > since[phone] + 1.0 for phone, loud in hears.items() if loud)

    await eventually(heard, within_s=WITHIN_S)


def _fresh() -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "asked_at": int(time.time())}


async def _press(browser: Browser, what: str, status: int = 204) -> Any:
    return await browser.json("POST", f"/api/v1/phone/{what}", status=status)


async def test_hold_and_mute_by_the_console_leave_the_call_where_it_is(
    centre: Exchange, wang: Browser, programs: Programs
) -> None:
    pbx = centre.pbx
    for what in ("hold", "unhold", "mute", "unmute"):
        await _press(wang, what, 409)  # his phone is in no call
    async with (
        SipPhone.agent(programs, pbx, "agent1") as mine,
        SipPhone.caller(programs, pbx, CALLER) as caller,
    ):
        await wang.json("POST", "/api/v1/agents/me/login")
        await caller.dial("7101")
        await mine.ringing()
        await _press(wang, "hold", 409)
        await mine.answer()
        await _until(centre, doing="talking", held=False, muted=False)
        assert (await _press(wang, "unhold", 409))["code"] == "conflict"

        await _press(wang, "mute")
        await _until(centre, muted=True)
        await _sound({mine: True, caller: False})

        await _press(wang, "hold")
        await _until(centre, held=True, muted=True)
        await _sound({mine: False, caller: True})  # music, since he is muted
        await _press(wang, "hold")  # so it is already
        # A server that finds them so knows it too.
        telephony = centre.app.features.telephony
        telephony._muted.clear()
        await telephony._recall(next(iter(centre.app.links)))
        await _until(centre, held=True, muted=True)

        await _press(wang, "unmute")
        await _press(wang, "unhold")
        await _until(centre, held=False, muted=False)
        await _sound({mine: True, caller: True})

        await mine.press("*4")  # the same by the phone's keys
        await _until(centre, held=True)
        await _sound({mine: False, caller: True})
        await mine.press("*")
        await _until(centre, held=False)

        await _press(wang, "hold")
        [call] = next(iter(centre.app.links.values())).calls()
        await caller.hang_up()
        await mine.ended()  # nobody is left to wait for

    async def entry() -> Any:
        async with centre.app.database.reading() as uow:
            return await uow.calls.get(call.call_id)

    kept = await eventually(entry, lambda it: it.complete, within_s=WITHIN_S)
    kinds = [segment["kind"] for segment in kept.detail["segments"] if segment["party"] == "PJSIP/agent1"]
    assert kinds == ["ring", "talk", "hold", "talk", "hold", "talk", "hold"]
    # The queue saw one talk, which the caller ended.
    assert [visit["outcome"] for visit in kept.detail["queue_visits"]] == ["answered"]


async def test_one_who_was_called_out_is_held_and_handed_on_from_there(
    centre: Exchange, wang: Browser, programs: Programs
) -> None:
    pbx = centre.pbx
    async with (
        customer_at(pbx, f"+86{CUSTOMER}", "agent3"),
        SipPhone.agent(programs, pbx, "agent1") as mine,
        SipPhone.agent(programs, pbx, "agent2") as other,
        SipPhone.agent(programs, pbx, "agent3") as customer,
    ):
        wish = {**_fresh(), "to": {"kind": "number", "key": CUSTOMER}}
        await wang.json("POST", "/api/v1/phone/calls", wish, status=202)
        await mine.ringing()
        await mine.answer()
        await customer.ringing()
        await customer.answer()
        await _until(centre, doing="talking")
        await _press(wang, "hold")
        await _until(centre, held=True)
        await _sound({mine: False, customer: True})
        lee = {"kind": "agent", "key": "lee"}
        await wang.json("POST", "/api/v1/phone/consult", lee, status=204)
        await other.ringing()
        await other.answer()
        await _until(centre, doing="consulting", held=False)
        await _press(wang, "hold", 409)
        await _press(wang, "consult/complete")
        await mine.ended()
        await _sound({other: True, customer: True})
        await customer.hang_up()
        await other.ended()


async def test_a_phone_that_the_pbx_can_not_hold_for_says_so_and_sends_no_keys(
    centre: Exchange, wang: Browser, programs: Programs
) -> None:
    pbx = centre.pbx
    async with (
        SipPhone.agent(programs, pbx, "agent1") as mine,
        SipPhone.caller(programs, pbx, CALLER) as caller,
    ):
        await wang.json("POST", "/api/v1/agents/me/login")
        await caller.dial("7101")
        await mine.ringing()
        await mine.answer()
        await _until(centre, doing="talking")
        channel = next(
            line.split("!")[0]
            for line in (await pbx.cli("core show channels concise")).splitlines()
            if line.startswith("PJSIP/agent1-")
        )
        await pbx.cli(f"dialplan set chanvar {channel} DYNAMIC_FEATURES none")
        assert (await _press(wang, "hold", 409))["code"] == "no_hold"
        assert caller.keys_heard == ""
        await mine.hold()  # by its own key
        await _until(centre, held=True)
        assert (await _press(wang, "unhold", 409))["code"] == "held_by_phone"
        await mine.resume()
        await _until(centre, held=False)
        await caller.hang_up()
        await mine.ended()
