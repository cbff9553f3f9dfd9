"""The server hands the caller to the PBX and gets them back with how it went."""

from __future__ import annotations

import os
from pathlib import Path

from ctiserver.ivr.runtime.dialplan import handed_back
from ctiserver.lab.privatepbx.lifecycle import PrivatePbx
from ctiserver.lab.privatepbx.phone import SipPhone
from ctiserver.lab.privatepbx.tree import Programs
from tests.support.asterisk import journal
from tests.support.eventually import eventually
from tests.support.fastagi import AgiCall, Script, scripted


async def test_queue_time_out_then_message_then_hang_up(pbx: PrivatePbx, programs: Programs) -> None:
    seen: list[dict[str, str]] = []

    async def remember(call: AgiCall) -> None:
        seen.append({name: await call.variable(name) for name in ("CTI_RESULT", "CTI_QUEUES_LEFT", "CTI_DNIS")})

    async def queue(call: AgiCall) -> None:
        await call.do("ANSWER")
        await remember(call)
        await call.hand_over(CTI_DO="queue", CTI_QUEUE="repair", CTI_QUEUE_TIMEOUT="2")

    async def voicemail(call: AgiCall) -> None:
        await remember(call)
        await call.hand_over(CTI_DO="voicemail", CTI_VM_MAX_S="1")

    async def hang_up(call: AgiCall) -> None:
        await remember(call)
        await call.hand_over(CTI_DO="hangup")

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138000") as caller,
        scripted(pbx.agi, queue, voicemail, hang_up) as server,
    ):
        await pbx.cli("queue add member PJSIP/agent1 to repair")
        await caller.dial("4008001234")
        assert await agent.ringing() == "13800138000"
        await agent.stopped_ringing()
        await caller.ended(timeout_s=15.0)
        await server.all_done()
        scripts = [session.script for session in server.sessions]
        entries = await journal(pbx)
    assert scripts[0] == "flow?dnis=4008001234&result=&deadman=1"
    assert scripts[1].startswith("flow?dnis=4008001234&result=queue%3ATIMEOUT")
    assert seen[0] == {"CTI_RESULT": "", "CTI_QUEUES_LEFT": "", "CTI_DNIS": "4008001234"}
    assert seen[1] == {"CTI_RESULT": "queue:TIMEOUT:1", "CTI_QUEUES_LEFT": "&repair&", "CTI_DNIS": "4008001234"}
    did, status, file = seen[2]["CTI_RESULT"].split(":")
    assert (did, status) == ("voicemail", "TIMEOUT")
    assert os.path.getsize(file) > 8_000
    (key,) = entries  # no fallback: the message alone
    assert key.endswith("-vm1")


async def test_agent_who_hangs_up_first_gives_the_caller_back(pbx: PrivatePbx, programs: Programs) -> None:
    results = []

    async def queue(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.hand_over(CTI_DO="queue", CTI_QUEUE="repair")

    async def survey(call: AgiCall) -> None:
        results.extend([await call.variable("CTI_RESULT"), await call.variable("CTI_QUEUES_LEFT")])
        await call.hand_over(CTI_DO="hangup")

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138000") as caller,
        scripted(pbx.agi, queue, survey) as server,
    ):
        await pbx.cli("queue add member PJSIP/agent1 to repair")
        await caller.dial("4008001234")
        await agent.ringing()
        await agent.answer()
        await agent.hang_up()
        await server.all_done()
        await caller.ended()
    assert results == ["queue:CONTINUE:1", ""]


async def test_empty_and_unknown_queues_say_so(pbx: PrivatePbx, programs: Programs) -> None:
    results = []

    async def empty(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.hand_over(CTI_DO="queue", CTI_QUEUE="repair")

    async def unknown(call: AgiCall) -> None:
        results.append(await call.variable("CTI_RESULT"))
        await call.hand_over(CTI_DO="queue", CTI_QUEUE="nowhere")

    async def hang_up(call: AgiCall) -> None:
        results.append(await call.variable("CTI_RESULT"))
        await call.hand_over(CTI_DO="hangup")

    async with (
        SipPhone.caller(programs, pbx, "13800138000") as caller,
        scripted(pbx.agi, empty, unknown, hang_up) as server,
    ):
        await caller.dial("4008001234")
        await server.all_done()
        await caller.ended()
    assert results == ["queue:JOINEMPTY:", "queue:UNKNOWN:"]


async def test_queue_that_a_caller_is_sent_to_again_is_not_left(pbx: PrivatePbx, programs: Programs) -> None:
    left = []

    def to(queue: str) -> Script:
        async def script(call: AgiCall) -> None:
            left.append((await call.variable("CTI_QUEUES_LEFT")).strip("&"))
            await call.do("ANSWER")
            await call.hand_over(CTI_DO="queue", CTI_QUEUE=queue)

        return script

    async def hang_up(call: AgiCall) -> None:
        left.append((await call.variable("CTI_QUEUES_LEFT")).strip("&"))
        await call.hand_over(CTI_DO="hangup")

    async with (
        SipPhone.caller(programs, pbx, "13800138000") as caller,
        scripted(pbx.agi, to("repair"), to("operators"), to("repair"), hang_up) as server,
    ):
        await caller.dial("4008001234")
        await server.all_done()
        await caller.ended()
    assert left == ["", "repair", "repair&operators", "operators&repair"]  # nobody sits there


async def test_message_is_written_down_before_it_is_spoken(pbx: PrivatePbx, programs: Programs) -> None:
    async def voicemail(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.hand_over(CTI_DO="voicemail", CTI_VM_MAX_S="3")

    async def hang_up(call: AgiCall) -> None:
        await call.hand_over(CTI_DO="hangup")

    async with (
        SipPhone.caller(programs, pbx, "13800138000") as caller,
        scripted(pbx.agi, voicemail, hang_up) as server,
    ):
        await caller.dial("4008001234")
        ((key, begun),) = (await eventually(lambda: journal(pbx), within_s=15.0)).items()
        await server.all_done()
        await caller.ended()
        ((same, ended),) = (await journal(pbx)).items()
    assert key == same
    assert (begun[1], begun[5], ended[5]) == ("voicemail", "BEGUN", "TIMEOUT")
    assert begun[6] == ended[6]
    assert Path(ended[6]).exists()


async def test_person_who_hangs_up_without_a_key_has_not_answered(pbx: PrivatePbx, programs: Programs) -> None:
    results = []

    async def dial(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.hand_over(
            CTI_DO="dial", CTI_DIAL="PJSIP/agent1", CTI_DIAL_TIMEOUT="15", CTI_DIAL_OPTIONS="U(cti-accept^5)"
        )

    async def hang_up(call: AgiCall) -> None:
        results.append(await call.variable("CTI_RESULT"))
        await call.hand_over(CTI_DO="hangup")

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138000") as caller,
        scripted(pbx.agi, dial, hang_up) as server,
    ):
        await caller.dial("4008001234")
        await agent.ringing()
        await agent.answer()
        await agent.hang_up()
        await server.all_done()
        await caller.ended()
    (result,) = results
    assert handed_back(result).result == "nobody", result


async def test_person_who_presses_no_key_has_not_answered(pbx: PrivatePbx, programs: Programs) -> None:
    results = []

    async def dial(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.hand_over(
            CTI_DO="dial", CTI_DIAL="PJSIP/agent1", CTI_DIAL_TIMEOUT="15", CTI_DIAL_OPTIONS="U(cti-accept^5)"
        )

    async def again(call: AgiCall) -> None:
        results.append(await call.variable("CTI_RESULT"))
        await dial(call)

    async def hang_up(call: AgiCall) -> None:
        results.append(await call.variable("CTI_RESULT"))
        await call.hand_over(CTI_DO="hangup")

    async with (
        SipPhone.agent(programs, pbx, "agent1") as agent,
        SipPhone.caller(programs, pbx, "13800138000") as caller,
        scripted(pbx.agi, dial, again, hang_up) as server,
    ):
        await caller.dial("4008001234")
        await agent.ringing()
        await agent.answer()
        await agent.press("1")
        await agent.ringing()
        await agent.answer()
        await agent.press("5")
        await caller.press("9")
        while agent.keys_heard != "9":  # the two are through to each other
            await caller.press("9")
        await agent.hang_up()
        await server.all_done()
        await caller.ended()
    assert results == ["dial:BUSY", "dial:ANSWER"]


async def test_agents_keys_reach_the_server_with_the_phones_own_name(pbx: PrivatePbx, programs: Programs) -> None:
    async def log_in(call: AgiCall) -> None:
        await call.do("ANSWER")
        await call.hand_over()

    async with SipPhone.agent(programs, pbx, "agent2") as agent, scripted(pbx.agi, log_in) as server:
        await agent.dial("*11")
        await server.all_done()
        await agent.ended()
    assert [session.script for session in server.sessions] == ["agent-login?interface=PJSIP/agent2"]


async def test_phones_call_each_other(pbx: PrivatePbx, programs: Programs) -> None:
    async with (
        SipPhone.agent(programs, pbx, "agent1") as first,
        SipPhone.agent(programs, pbx, "agent2") as second,
    ):
        await first.dial("102")
        assert await second.ringing() == "101"
        await second.answer()
        await first.answered()
        await first.hang_up()
        await second.ended()
