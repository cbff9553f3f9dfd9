"""What an agent with a phone on the desk does from the console: hand on, ask first, call out."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.model.calls.call_entry import CallEntry
from ctiserver.model.ids import CallId
from tests.support.desk import Browser
from tests.support.eventually import eventually
from tests.support.telephony import Exchange, customer_at, invites

pytestmark = [pytest.mark.pbx, pytest.mark.asyncio(loop_scope="module")]

CALLER, CUSTOMER = "13800000001", "13900000001"


@pytest_asyncio.fixture(loop_scope="module")
async def wang(centre: Exchange) -> AsyncIterator[Browser]:
    """His console, which stands beside his phone."""
    async with Browser(centre.url) as browser:
        await browser.log_in("wang")
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def trunk(centre: Exchange) -> AsyncIterator[None]:
    """The customer outside is at the phone agent3."""
    async with customer_at(centre.pbx, f"+86{CUSTOMER}", "agent3"):
        yield


async def _does(centre: Exchange, agent: str) -> str | None:
    call = centre.app.features.telephony.call(agent)  # type: ignore[arg-type]
    return None if call is None else call.doing


async def _until(centre: Exchange, agent: str, doing: str | None) -> None:
    await eventually(lambda: _does(centre, agent), lambda seen: seen == doing, within_s=15)


async def _hears_more(*phones: SipPhone) -> None:
    before = [phone.heard_s() for phone in phones]

    async def more_s() -> list[float]:
        return [phone.heard_s() - heard_s for phone, heard_s in zip(phones, before, strict=True)]

    await eventually(more_s, lambda each: min(each) > 0.3, within_s=15)


def _fresh() -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "asked_at": int(time.time())}


async def _logged(centre: Exchange, call: str) -> CallEntry:
    async def entry() -> CallEntry:
        async with centre.app.database.reading() as uow:
            return await uow.calls.get(CallId(call))

    return await eventually(entry, lambda seen: seen.complete, within_s=15)


async def test_a_colleague_is_asked_and_gets_the_call(centre: Exchange, wang: Browser, programs: Programs) -> None:
    pbx = centre.pbx
    async with (
        SipPhone.agent(programs, pbx, "agent1") as mine,
        SipPhone.agent(programs, pbx, "agent2") as other,
        SipPhone.caller(programs, pbx, CALLER) as caller,
    ):
        await wang.json("POST", "/api/v1/agents/me/login")
        await caller.dial("7101")
        await mine.ringing()
        assert await _does(centre, "wang") == "ringing"
        await mine.answer()
        await _until(centre, "wang", "talking")
        lee: dict[str, Any] = {"kind": "agent", "key": "lee"}
        await wang.json("POST", "/api/v1/phone/consult", lee, status=204)
        await other.ringing()
        await other.answer()
        await _until(centre, "wang", "consulting")
        await _hears_more(mine, other, caller)
        await wang.json("POST", "/api/v1/phone/consult/complete", status=204)
        await mine.ended()
        await _until(centre, "wang", None)
        await _until(centre, "lee", "talking")
        await _hears_more(other, caller)
        [call] = centre.app.links[pbx_name(centre)].calls()
        await caller.hang_up()
        entry = await _logged(centre, call.call_id)
    assert [transfer["kind"] for transfer in entry.detail["transfers"]] == ["attended"]  # type: ignore[index,union-attr]


def pbx_name(centre: Exchange) -> Any:
    return next(iter(centre.app.links))


async def test_a_call_is_handed_to_a_queue_and_ended(centre: Exchange, wang: Browser, programs: Programs) -> None:
    pbx = centre.pbx
    async with (
        SipPhone.agent(programs, pbx, "agent1") as mine,
        SipPhone.agent(programs, pbx, "agent3") as operator,
        SipPhone.caller(programs, pbx, CALLER) as caller,
    ):
        await pbx.cli("queue add member PJSIP/agent3 to operators")
        await wang.json("POST", "/api/v1/agents/me/login")
        await caller.dial("7101")
        await mine.ringing()
        await mine.answer()
        await _until(centre, "wang", "talking")
        # Nothing comes of what makes no sense.
        for path in ("consult/complete", "consult/cancel", "consult/join"):
            await wang.json("POST", f"/api/v1/phone/{path}", status=409)
        for body in ({"kind": "queue", "key": "none"}, {"kind": "agent", "key": "nobody"}):
            await wang.json("POST", "/api/v1/phone/transfer", body, status=400)
        await wang.json("POST", "/api/v1/phone/consult", {"kind": "queue", "key": "operators"}, status=400)
        await wang.json("POST", "/api/v1/phone/transfer", {"kind": "number", "key": "+16502530000"}, status=422)
        await wang.json("POST", "/api/v1/phone/transfer", {"kind": "queue", "key": "operators"}, status=204)
        await operator.ringing()
        # Asterisk's music gets stuck when it is ended before its first frame: nobody picks up within 20 ms.
        await _hears_more(caller)
        await operator.answer()
        await mine.ended()
        await _hears_more(operator, caller)
        await operator.hang_up()
        await caller.hang_up()
        await wang.json("POST", "/api/v1/phone/hangup", status=409)
    await pbx.cli("queue remove member PJSIP/agent3 from operators")


@pytest.mark.usefixtures("trunk")
async def test_a_call_out_rings_the_agent_first_once_and_is_linked_to_its_record(
    centre: Exchange, wang: Browser, programs: Programs
) -> None:
    pbx, features = centre.pbx, centre.app.features
    [contact] = await features.contacts.find_or_create(CUSTOMER, "李娜")
    record = (await features.records.open("repair", actor="user:wang", contact_id=contact.id)).record
    wish = {**_fresh(), "to": {"kind": "number", "key": CUSTOMER}, "record_id": record.id}
    async with (
        SipPhone.agent(programs, pbx, "agent1") as mine,
        SipPhone.agent(programs, pbx, "agent3") as customer,
    ):
        await pbx.cli("pjsip set logger on")
        first = await wang.json("POST", "/api/v1/phone/calls", wish, status=202)
        assert await wang.json("POST", "/api/v1/phone/calls", wish, status=202) == first
        assert await mine.ringing() == f"+86{CUSTOMER}"  # his phone shows whom he calls
        await pbx.cli("pjsip set logger off")
        invite = invites(centre, "agent1")[-1]  # and answers by itself, if it knows how
        assert invite["Call-Info"] == "<sip:ctiserver.invalid>;answer-after=0"
        assert invite["Alert-Info"] == "<http://ctiserver.invalid>;info=alert-autoanswer;delay=0"
        await mine.answer()
        assert await customer.ringing() == "4008001234"  # and the customer the queue's number
        await customer.answer()
        await _until(centre, "wang", "talking")
        await _hears_more(mine, customer)
        assert await wang.json("POST", "/api/v1/phone/calls", wish, status=202) == first
        other = {**wish, **_fresh()}
        await wang.json("POST", "/api/v1/phone/calls", other, status=409)  # his phone is in use
        await wang.json("POST", "/api/v1/phone/hangup", status=204)
        await customer.ended()
        entry = await _logged(centre, first["call_id"])
        # Sent once more after the call, it dials nobody.
        assert await wang.json("POST", "/api/v1/phone/calls", wish, status=202) == first
    assert entry.id > "01"  # it sorts by when it was asked for
    assert (entry.direction, entry.outcome, entry.dnis) == ("outbound", "answered", f"+86{CUSTOMER}")
    assert (entry.agent_id, entry.contact_id) == ("wang", contact.id)
    async with centre.app.database.reading() as uow:
        assert await uow.records.calls(record.id) == [entry.id]
        notes = [note.kind for note in await uow.records.timeline(record.id)]
    assert notes.count("called_out") == 1


async def test_who_does_not_want_to_be_called_is_not(centre: Exchange, wang: Browser) -> None:
    features = centre.app.features
    [contact] = await features.contacts.find_or_create("13900000002", "陈强")
    async with centre.app.database.unit_of_work() as uow:
        await uow.contacts.update(replace(contact, do_not_call=True))
    wish = {**_fresh(), "to": {"kind": "number", "key": "13900000002"}}
    refused = await wang.json("POST", "/api/v1/phone/calls", wish, status=409)
    assert refused["code"] == "do_not_call"
    for number in ("4008001234", "+16502530000", "x"):
        wish = {**_fresh(), "to": {"kind": "number", "key": number}}
        assert (await wang.json("POST", "/api/v1/phone/calls", wish, status=422))["code"] == "not_diallable"
    assert centre.app.links[pbx_name(centre)].calls() == []
