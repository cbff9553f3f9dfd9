"""The manager account that we ship may do what the server does, and nothing that runs programs or changes the PBX."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pydantic import SecretStr

from ctiserver.bus import Bus
from ctiserver.clock import SystemClock
from ctiserver.errors import PbxRefused
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.model.ids import PbxName
from ctiserver.pbx.codec import AmiMessage
from ctiserver.pbx.link import PbxLink
from ctiserver.pbx.resync import Ask
from ctiserver.settings import PbxSettings
from tests.support.eventually import eventually

pytestmark = pytest.mark.pbx


@pytest_asyncio.fixture
async def heard() -> list[AmiMessage]:
    return []


@pytest_asyncio.fixture
async def ask(pbx: PrivatePbx, heard: list[AmiMessage]) -> AsyncIterator[Ask]:
    settings = PbxSettings(port=pbx.ami_port, secret=SecretStr(pbx.ami_secret))
    link = PbxLink(PbxName("main"), settings, Bus(), SystemClock())
    async with link.asking(heard.append) as asking:
        yield asking


@pytest.mark.parametrize(
    "action",
    [
        {"Action": "Command", "Command": "core show version"},
        {"Action": "Originate", "Channel": "Local/s@cti-inbound", "Application": "System", "Data": "touch /"},
        {"Action": "Originate", "Channel": "Local/s@cti-inbound", "Application": "MixMonitor", "Data": "x.wav,,id"},
        {"Action": "Setvar", "Variable": "SHELL(id)", "Value": "1"},
        {"Action": "Setvar", "Variable": "FILE(/tmp/x)", "Value": "1"},
        {"Action": "DBPut", "Family": "cti_journal", "Key": "x", "Val": "1"},
        {"Action": "DBDel", "Family": "cti_journal", "Key": "x"},
        {"Action": "DBDelTree", "Family": "cti_journal"},
        {"Action": "UpdateConfig", "SrcFilename": "manager.conf", "DstFilename": "manager.conf"},
        {"Action": "ModuleLoad", "LoadType": "reload"},
        {"Action": "MixMonitor", "Channel": "PJSIP/x", "File": "x.wav", "Command": "id"},
    ],
    ids=lambda action: " ".join((action["Action"], action.get("Application") or action.get("Variable") or "")),
)
async def test_what_it_may_not(ask: Ask, action: dict[str, str]) -> None:
    fields = dict(action)
    with pytest.raises(PbxRefused):
        await ask(fields.pop("Action"), fields)


async def hears(heard: list[AmiMessage], name: str, count: int = 1) -> list[AmiMessage]:
    """So many events of this name."""

    async def found() -> list[AmiMessage]:
        return [message for message in heard if message.name == name]

    return await eventually(found, lambda seen: len(seen) >= count)


async def test_it_hears_nothing_of_the_dialplan_or_of_keys(pbx: PrivatePbx, ask: Ask, heard: list[AmiMessage]) -> None:
    """Half of all that a PBX says; and what callers key in is none of our log's business."""
    await ask("Setvar", {"Variable": "CTI_TEST", "Value": "1"})  # a VarSet for those who read class dialplan
    await ask("UserEvent", {"UserEvent": "Mark"})
    await hears(heard, "UserEvent")
    assert {"VarSet", "Newexten", "DTMFBegin", "TestEvent"}.isdisjoint(message.name for message in heard)


async def test_a_call_that_is_ordered_twice_is_made_once(pbx: PrivatePbx, ask: Ask, heard: list[AmiMessage]) -> None:
    """By its channel id. The second order is taken like the first; only the events say that it failed.

    An order is given again once a lost link is back, so the first one's channel exists by then. Two orders within a
    millisecond are another thing: Asterisk looks for the id and enters the channel in two steps, so both may get a
    first leg, and only the second leg's id refuses one of them.
    """
    for step in ("77,1,Answer()", "77,2,Wait(1)"):
        await pbx.cli(f"dialplan add extension {step} into cti-inbound")
    order = {"Channel": "Local/77@cti-inbound/n", "ChannelId": "order-1", "OtherChannelId": "order-1b", "Async": "true"}
    with pytest.raises(PbxRefused):  # an extension that is not there is refused at once
        await ask("Originate", {**order, "Context": "cti-outbound", "Exten": "nobody", "Priority": "1"})
    for _ in range(2):
        await ask("Originate", {**order, "Application": "Wait", "Data": "0.3"})
        await hears(heard, "Newchannel", 2)
    answers = await hears(heard, "OriginateResponse", 2)
    assert sorted(answer.get("Response") for answer in answers) == ["Failure", "Success"]
    begun = [message.get("Uniqueid") for message in heard if message.name == "Newchannel"]
    assert begun.count("order-1") == 1
    await pbx.cli("dialplan remove extension 77@cti-inbound")
