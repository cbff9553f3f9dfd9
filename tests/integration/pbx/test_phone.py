"""What the phones can do, seen from the other side."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from ctiserver.errors import PeerLost, UserFault
from ctiserver.lab.privatepbx.baresip import CallFailed
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from ctiserver.pid import Process
from tests.support.eventually import eventually


async def test_voice_goes_both_ways_and_keys_arrive_in_order(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as first,
        SipPhone.agent(programs, pbx, "agent2") as second,
    ):
        await first.dial("102")
        await second.ringing()
        await second.answer()
        await first.answered()
        await first.press("0123456789#*")
        await eventually(lambda: _keys(second), lambda keys: keys == "0123456789#*", within_s=20.0)
        for phone in (first, second):
            await eventually(lambda phone=phone: _heard(phone), lambda seconds: seconds > 1.0)
        await first.say(pbx.sounds_dir / "en" / "hold.wav")
        assert first.talking, "the call outlives what was said"
        await first.hang_up()
        await second.ended()
        before_s = second.heard_s()
        await first.dial("102")
        await second.ringing()
        await second.answer()
        await eventually(lambda: _heard(second), lambda seconds: seconds > before_s + 0.5)
        await second.hang_up()
        await first.ended()


async def test_hold_resume_and_blind_transfer(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as first,
        SipPhone.agent(programs, pbx, "agent2") as second,
        SipPhone.agent(programs, pbx, "agent3") as third,
    ):
        await first.dial("102")
        await second.ringing()
        await second.answer()
        await first.answered()
        await second.hold()
        await eventually(lambda: _music(pbx), lambda lines: lines[-1:] == ["Started"])
        await second.resume()
        await eventually(lambda: _music(pbx), lambda lines: lines[-1:] == ["Stopped"])
        await second.transfer("103")
        assert await third.ringing() == "101"
        await third.answer()
        await second.ended()
        assert first.talking
        await third.hang_up()
        await first.ended()


async def test_declined_and_unknown_calls_fail_with_the_reason(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as first,
        SipPhone.agent(programs, pbx, "agent2") as second,
    ):
        await first.dial("102")
        await second.ringing()
        await second.decline()
        with pytest.raises(CallFailed, match="not answered: "):
            await first.answered()
        await first.ended()
        await first.dial("110")  # the police: a private PBX has no trunk that leads there, and says so at once
        with pytest.raises(CallFailed, match="not answered: 503"):
            await first.answered()


async def test_phones_outside_can_not_dial_as_an_agent_or_to_outside(pbx: PrivatePbx, programs: Programs) -> None:
    """A caller by the trunk reaches the flow whatever they dial; an agent's phone reaches no trunk."""
    async with SipPhone.caller(programs, pbx, "13800138000") as caller:
        await caller.dial("101")
        await caller.answered()  # by the fallback's announcement, not by a phone
        channels = await pbx.cli("core show channels concise")
        assert channels.startswith("PJSIP/trunk-")
        assert len(channels.strip().splitlines()) == 1
        await caller.hang_up()
    async with SipPhone.agent(programs, pbx, "agent1") as agent:
        await agent.dial("13800138000")
        with pytest.raises(CallFailed):
            await agent.answered()


async def test_unknown_phone_and_unsafe_caller_are_refused(pbx: PrivatePbx, programs: Programs) -> None:
    with pytest.raises(UserFault, match="the PBX has no phone 'agent9'"):
        async with SipPhone.agent(programs, pbx, "agent9"):
            pass
    for number, name in (("1>;auth_pass=x", ""), ("138", 'a" <sip:x>'), ("138", "a\nb")):
        with pytest.raises(UserFault, match="is not a caller"):
            async with SipPhone.caller(programs, pbx, number, name=name):
                pass


async def test_phone_that_dies_is_noticed_at_once_and_its_folder_goes(pbx: PrivatePbx, programs: Programs) -> None:
    async with SipPhone.agent(programs, pbx, "agent1") as phone:
        folder = phone.folder
        waiting = asyncio.ensure_future(phone.ringing())
        os.kill(phone.pid, 9)
        with pytest.raises(PeerLost):
            await waiting
    assert not folder.exists()
    assert not os.path.exists(f"/proc/{phone.pid}")


async def test_sipp_of_the_tree_calls_in_by_the_trunk(pbx: PrivatePbx, programs: Programs, tmp_path: Path) -> None:
    """SIPp for load: its own caller scenario, hung up by SIPp."""
    output = tmp_path / "sipp.out"
    process = Process.spawn(
        [
            *programs.command("sipp"),
            *("-sn", "uac", "-s", "4008001234", "-i", "127.0.0.1", "-m", "3", "-r", "3", "-d", "200", "-nostdin"),
            *("-timeout", "20", f"127.0.0.1:{pbx.sip_port}"),
        ],
        output,
        dies_with_us=True,
    )
    async with asyncio.timeout(25):
        await process.ended()
    summary = output.read_text(encoding="utf-8", errors="replace").rpartition("Successful call")[2].splitlines()[0]
    assert summary.split("|")[2].strip() == "3"


async def _music(pbx: PrivatePbx) -> list[str]:
    """Whether music on hold started or stopped, in the order of the log."""
    return re.findall(
        r"res_musiconhold.c: (Started|Stopped) music", pbx.log_path.read_text(encoding="utf-8", errors="replace")
    )


async def _keys(phone: SipPhone) -> str:
    return phone.keys_heard


async def _heard(phone: SipPhone) -> float:
    return phone.heard_s()
